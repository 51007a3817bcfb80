"""Transfer attacks between linear networks, against closed forms, and what the page makes of them."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsrna.comparing.figures import FIGURES
from dsrna.comparing.results import Results, Trained
from dsrna.comparing.table import table_of
from dsrna.comparing.transfer import TransferPlan, transfer_matrix
from dsrna.comparing.transfer_figure import transfer_csv, transfer_sentences
from dsrna.data.images import ArrayImages
from dsrna.testing.tiny_networks import linear_network
from dsrna.types import Threat

EPS = 0.03


def weights(seed):
    row = torch.randn(16, generator=torch.Generator().manual_seed(seed))
    return torch.stack([row, -row])


class Setting:
    """Three networks of two classes, without offsets, on images in the middle of the box, and what each gets right."""

    def __init__(self, images=40):
        draw = torch.Generator().manual_seed(9)
        x = (255 * (0.3 + 0.4 * torch.rand(images, 1, 4, 4, generator=draw))).to(torch.uint8)
        self.rows = [weights(seed) for seed in range(3)]
        y = (self.scores(0, x / 255) < 0).long()
        y[::5] = 1 - y[::5]
        self.dataset = ArrayImages(x, y, 2)
        self.x, self.y = self.dataset.batch(torch.arange(images))
        self.networks = [
            Trained(f"c{n}", 0, {"clean": 0.5}, 0.5, "", self.right(n, self.x), "images", None, f"evaluations/c{n}")
            for n in range(3)
        ]
        self.loads = []

    def scores(self, n, x):
        """Logit of class 0 minus that of class 1."""
        return (x.flatten(1) - 0.5) @ (self.rows[n][0] - self.rows[n][1])

    def right(self, n, x):
        return "".join("01"[int(one)] for one in (self.scores(n, x) < 0).long() == self.y)

    def load(self, one):
        self.loads.append(one.cell)
        n = int(one.cell[1:])
        return linear_network(self.rows[n], -0.5 * self.rows[n].sum(1))

    def matrix(self, folder, networks=None, images=40):
        plan = TransferPlan(Threat("linf", EPS), 20, images, 16, torch.device("cpu"))
        return transfer_matrix(networks or self.networks, self.load, self.dataset, plan, folder)

    def expected(self, source, target):
        """The attack on a linear network ends at x - eps * (true class's sign) * sign(w)."""
        sign = (1 - 2 * self.y).float().reshape(-1, 1, 1, 1)
        way = (self.rows[source][0] - self.rows[source][1]).sign().reshape(1, 1, 4, 4)
        moved = self.x - EPS * sign * way
        both = [
            first == second == "1"
            for first, second in zip(self.right(target, self.x), self.right(target, moved), strict=True)
        ]
        return sum(both) / len(both)


@pytest.fixture
def setting():
    return Setting()


def test_every_entry_is_that_of_the_closed_form(setting, tmp_path):
    found = setting.matrix(tmp_path)
    assert found["networks"] == [["c0", 0], ["c1", 0], ["c2", 0]]
    for source in range(3):
        for target in range(3):
            assert found["accuracy"][source][target] == setting.expected(source, target)
    assert len({found["accuracy"][source][target] for source in range(3) for target in range(3)}) > 3
    assert found["accuracy"][0][0] < found["accuracy"][1][0]  # its own images break more


def test_it_goes_on_where_it_was_stopped_and_a_further_network_costs_its_own_pairs(setting, tmp_path):
    two = setting.matrix(tmp_path, setting.networks[:2])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert len(before) == 2 + 4
    three = setting.matrix(tmp_path)
    assert [row[:2] for row in three["accuracy"][:2]] == two["accuracy"]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(list(tmp_path.rglob("*.*"))) == 3 + 9


def test_images_of_another_network_are_made_again(setting, tmp_path):
    setting.matrix(tmp_path, setting.networks[:1])
    (file,) = tmp_path.rglob("images.npz")
    before = file.read_bytes()
    setting.rows[0] = weights(7)
    other = [replace(setting.networks[0], folder="evaluations/other", right=setting.right(0, setting.x))]
    assert setting.matrix(tmp_path, other)["accuracy"] == [[setting.expected(0, 0)]]
    assert file.read_bytes() == before


def with_transfer(results, accuracy):
    networks = [[one.cell, one.seed] for one in results.trained]
    count = len(networks)
    filled = [[accuracy(row, column) for column in range(count)] for row in range(count)]
    interval = [[[max(0.0, value - 0.05), min(1.0, value + 0.05)] for value in row] for row in filled]
    return replace(
        results,
        transfer={
            "attack": "PGD-20", "images": 200, "networks": networks, "accuracy": filled, "interval": interval
        },
    )  # fmt: skip


def test_the_csv_has_every_pair_with_its_rows(results: Results):
    found = with_transfer(results, lambda row, column: 0.2 if row == column else 0.6 + row / 100)
    lines = list(csv.DictReader(io.StringIO(transfer_csv(found))))
    assert len(lines) == len(results.trained) ** 2
    assert (lines[7]["made on"], lines[7]["shown to"]) == ("ours <&_", "random")
    assert float(lines[1]["accuracy"]) == 0.6
    assert transfer_csv(results) is None


def test_an_attack_from_elsewhere_that_is_stronger_is_told(results: Results):
    honest = with_transfer(results, lambda row, column: 0.2 if row == column else 0.6)
    (sentence,) = transfer_sentences(honest)
    assert "60.0 % stay correct in the mean, on those made on the network itself 20.0 %" in sentence
    masked = with_transfer(results, lambda row, column: 0.9 if row == column == 1 else 0.2 if row == column else 0.6)
    _, warning = transfer_sentences(masked)
    assert warning.startswith(f"ours <&_ (seed {results.trained[1].seed})")
    assert "60.0 % against 90.0 %" in warning
    assert transfer_sentences(results) == []


def test_the_picture_has_the_numbers_of_a_small_matrix_and_a_row_for_every_network(results: Results):
    draw, _ = FIGURES["transfer"]
    assert draw(table_of(results)) is None
    some = replace(results, trained=[one for one in results.trained if one.cell in "abp"])
    figure = draw(table_of(with_transfer(some, lambda row, column: (6 * row + column) / 100)))
    axes = figure.axes[0]
    shown = [int(text.get_text()) for text in axes.texts]
    assert sorted(shown) == list(range(36))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert [name.split(",")[0] for name in names] == ["ours <&_"] * 4 + ["published"] * 2
    large = draw(table_of(with_transfer(results, lambda row, column: 0.5)))
    assert len(large.axes[0].texts) in (0, len(results.trained) ** 2)


def test_results_keep_it(results: Results, tmp_path: Path):
    with_transfer(results, lambda row, column: 0.5).save(tmp_path)
    assert Results.load(tmp_path).transfer["attack"] == "PGD-20"
