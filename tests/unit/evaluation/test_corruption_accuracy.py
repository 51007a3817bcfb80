"""Accuracy under corruptions: what it counts, resumes and refuses."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from dsrna.corruptions import CORRUPTIONS, corrupt
from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.evaluation.corruption_accuracy import corruption_accuracies
from dsrna.evaluation.corruption_sweep import CorruptionSweep
from dsrna.functional.seeding import generator


class Images:
    """25 images of three classes that differ in brightness; fails at the n-th read if told to."""

    classes = 3

    def __init__(self, fail_at=None, size=32):
        self.y = torch.arange(25) % 3
        noise = torch.rand(25, 3, size, size, generator=generator(0, "images"))
        self.x = ((0.15 * noise + 0.1 * self.y[:, None, None, None]) * 255).round() / 255
        self.reads, self.fail_at = 0, fail_at

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        self.reads += 1
        if self.reads == self.fail_at:
            raise KeyboardInterrupt
        return self.x[indices], self.y[indices]


class Brightness(nn.Module):
    """Classifies by the mean value, the nearest of three."""

    def forward(self, x):
        return -(x.mean((1, 2, 3))[:, None] - torch.tensor([0.075, 0.175, 0.275])).abs()


SWEEP = CorruptionSweep(names=["fog", "contrast", "saturate"], severities=[1, 4])


def run(folder, sweep=SWEEP, data=None, seed=0, **settings):
    data = Images() if data is None else data
    return corruption_accuracies(Brightness(), data, sweep, seed=seed, batch_size=8, folder=folder, **settings)


def without_seconds(result):
    return json.loads(json.dumps(result), object_hook=lambda one: {k: v for k, v in one.items() if k != "seconds"})


def test_accuracies_and_means_equal_a_count_by_hand(tmp_path):
    data, result = Images(), run(tmp_path)
    found = {}
    for name in SWEEP.names:
        for severity in (1, 4):
            right = 0
            for number, start in enumerate(range(0, 25, 8)):
                x, y = data.x[start : start + 8], data.y[start : start + 8]
                corrupted = corrupt(x, name, severity, generator(0, "corruption", name, severity, number))
                right += (Brightness()(corrupted).argmax(1) == y).sum().item()
            found[name, severity] = right / 25
    assert {(r["corruption"], r["severity"]): r["accuracy"] for r in result["records"]} == found
    assert len(set(found.values())) > 2
    for severity in (1, 4):
        counted = (found["fog", severity] + found["contrast", severity]) / 2  # saturate is no benchmark's
        assert result["by_severity"][str(severity)] == pytest.approx(counted)
    assert result["mean"] == pytest.approx(sum(result["by_severity"].values()) / 2)
    assert result["source"] == "generated"
    assert all(low <= record["accuracy"] <= high for record in result["records"] for low, high in [record["interval"]])


def test_an_interrupted_sweep_ends_as_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", data=Images(fail_at=7))
    data = Images()
    seen = []
    rest = run(tmp_path / "cut", data=data, progress=lambda *state: seen.append(state[:3]))
    assert data.reads < 6 * 4
    assert seen[0] == ("fog 1", 25, 25)
    assert without_seconds(rest) == without_seconds(whole)
    with pytest.raises(CheckpointError, match="seed 0 there, 1 here"):
        run(tmp_path / "cut", seed=1)


def test_published_images_are_read_instead_of_made(tmp_path):
    labels = np.arange(10) % 3
    dark = np.full((50, 32, 32, 3), 20, dtype=np.uint8)  # all of class 0
    dark[40:] = 170  # severity 5: all of class 2
    np.save(tmp_path / "fog.npy", dark)
    np.save(tmp_path / "labels.npy", np.tile(labels, 5))
    sweep = CorruptionSweep(names=["fog"], severities=[1, 5], published=str(tmp_path))
    result = run(tmp_path / "out", sweep)
    assert [(r["accuracy"], r["images"]) for r in result["records"]] == [(0.4, 10), (0.3, 10)]
    assert result["source"] == "published"
    with pytest.raises(DataError, match=r"snow\.npy"):
        run(tmp_path / "other", CorruptionSweep(names=["snow"], published=str(tmp_path)))
    np.save(tmp_path / "labels.npy", np.tile(labels + 4, 5))
    with pytest.raises(DataError, match=r"labels 0\.\.2.*another data set"):
        run(tmp_path / "other", sweep)


def test_only_the_first_images_are_taken_where_so_asked(tmp_path):
    sweep = CorruptionSweep(names=["contrast"], severities=[2], images=10)
    whole = run(tmp_path / "whole", CorruptionSweep(names=["contrast"], severities=[2]))
    (record,) = run(tmp_path / "part", sweep)["records"]
    outcomes = json.loads((tmp_path / "whole" / "corruption_contrast_2.json").read_text())["outcomes"]
    assert (record["images"], record["accuracy"]) == (10, outcomes[:10].count("1") / 10)
    assert whole["records"][0]["images"] == 25


def test_small_images_are_refused_with_their_size(tmp_path):
    with pytest.raises(DataError, match="at least 16 x 16"):
        run(tmp_path, data=Images(size=8))
    with pytest.raises(DataError, match="at least 16 x 16"):
        SWEEP.check_usable((3, 8, 8))


def test_all_means_the_fifteen():
    assert CorruptionSweep().names == CORRUPTIONS
    assert len(CorruptionSweep()) == 75


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ["frgo"]}, "conf: names"),
        ({"names": "fog"}, "list of corruptions"),
        ({"names": []}, "list of corruptions"),
        ({"severities": [0]}, "conf: severities"),
        ({"severities": 3}, "list of severities"),
        ({"images": 0}, "conf: images"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        CorruptionSweep(**settings)
