"""The evaluation as a whole: what it counts, writes, resumes and refuses."""

import json

import pytest
import torch
from torch import nn

from dsrna.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from dsrna.evaluation import CarliniWagner, FoolboxFGSM, FoolboxPGD, evaluate
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat

THREAT = Threat("linf", 0.03)
ATTACKS = (FoolboxFGSM(), FoolboxPGD(steps=5, restarts=2))
RANDOM_START = FoolboxPGD(steps=1, step_size=0.001)
"""What it breaks in a large ball is up to its random numbers."""


class Images:
    """A data set of 25 images, some of them with a wrong class; fails at the n-th read if told to."""

    def __init__(self, classes=3, fail_at=None, seed=0):
        draw = torch.Generator().manual_seed(seed)
        self.x = torch.rand(25, 2, 6, 6, generator=draw)
        self.y = tiny_classifier().eval()(self.x).argmax(1)
        self.y[::6] = (self.y[::6] + 1) % 3
        self.labels = self.y
        self.classes = classes
        self.reads = 0
        self.fail_at = fail_at

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        self.reads += 1
        if self.reads == self.fail_at:
            raise KeyboardInterrupt
        return self.x[indices], self.y[indices]


def run(folder, data=None, **settings):
    settings = {"model": tiny_classifier(), "attacks": ATTACKS, "threat": THREAT, "seed": 0, "batch_size": 8} | settings
    model, attacks, threat = (settings.pop(name) for name in ("model", "attacks", "threat"))
    return evaluate(
        model, Images() if data is None else data, attacks, threat, folder=folder, eps_curve=[0.0, 0.02], **settings
    )


def without_seconds(result):
    return json.loads(json.dumps(result), object_hook=lambda one: {k: v for k, v in one.items() if k != "seconds"})


@pytest.mark.slow
def test_accuracies_equal_a_count_by_hand(tmp_path):
    data, model = Images(), tiny_classifier().eval()
    result = run(tmp_path, model=model)
    correct = model(data.x).argmax(1) == data.y
    x = data.x.clone().requires_grad_()
    nn.functional.cross_entropy(model(x), data.y).backward()
    fgsm = (data.x + 0.03 * x.grad.sign()).clamp(0, 1)
    # Some images are right only under attack; they must not count.
    under_attack = model(fgsm).argmax(1) == data.y
    assert result["clean"]["accuracy"] == correct.sum().item() / 25 == 20 / 25
    assert result["records"][0]["accuracy"] == pytest.approx((under_attack & correct).float().mean().item())
    assert result["records"][1]["accuracy"] <= result["records"][0]["accuracy"]
    assert result["curve"][0]["accuracy"] == result["clean"]["accuracy"]
    assert (result["images"], result["classes"]) == (25, 3)
    assert result["guessing"] == max(data.y.tolist().count(label) for label in range(3)) / 25


@pytest.mark.slow
def test_an_attack_on_the_first_images_alone_agrees_with_one_on_all(tmp_path):
    whole = run(tmp_path / "whole", attacks=[FoolboxFGSM()])
    part = run(tmp_path / "part", attacks=[FoolboxFGSM(images=10), FoolboxPGD(steps=3, images=99)])
    outcomes = json.loads((tmp_path / "whole" / "fgsm_linf_0.03.json").read_text())["outcomes"][:10]
    record, capped, _ = part["records"]
    assert (record["images"], record["accuracy"]) == (10, outcomes.count("1") / 10)
    assert whole["records"][0]["images"] == capped["images"] == 25


@pytest.mark.slow
def test_a_grid_measures_attacks_at_radii_of_their_own(tmp_path):
    grid = [(FoolboxFGSM(), Threat("linf", eps)) for eps in (0.01, 0.03)]
    result = run(tmp_path, grid=grid)
    assert [(record["attack"], record["eps"]) for record in result["grid"]] == [("fgsm", 0.01), ("fgsm", 0.03)]
    assert result["grid"][1]["accuracy"] == result["records"][0]["accuracy"] < result["grid"][0]["accuracy"]
    with pytest.raises(ConfigError, match="own key"):
        run(tmp_path, grid=[(FoolboxFGSM(key="pgd20"), THREAT)])


def test_attacking_no_images_is_refused():
    with pytest.raises(ConfigError, match="images"):
        FoolboxFGSM(images=0)


@pytest.mark.slow
def test_records_carry_what_judges_them(tmp_path):
    result = run(tmp_path)
    fields = "attack label norm eps accuracy interval images engine version seed restarts steps step_size seconds"
    for record in [result["clean"], *result["records"][:2], *result["curve"]]:
        assert list(record) == fields.split()
    record = result["records"][1]
    described = {name: record[name] for name in ("attack", "norm", "eps", "images", "engine", "restarts", "steps")}
    assert described == {
        "attack": "pgd5x2",
        "norm": "linf",
        "eps": 0.03,
        "images": 25,
        "engine": "foolbox",
        "restarts": 2,
        "steps": 5,
    }
    p, n, z = record["accuracy"], 25, 1.959963984540054
    center, spread = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    expected = [(center - spread) / (1 + z**2 / n), (center + spread) / (1 + z**2 / n)]
    assert record["interval"] == pytest.approx(expected, abs=1e-6)
    assert [one["eps"] for one in result["curve"]] == [0.0, 0.02]
    json.dumps(result, allow_nan=False)


@pytest.mark.slow
def test_files_hold_every_images_outcome(tmp_path):
    result = run(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"clean.json", "fgsm_linf_0.03.json", "pgd5x2_linf_0.03.json", "pgd20_linf_0.02.json"} <= names
    clean, fgsm = (json.loads((tmp_path / name).read_text()) for name in ("clean.json", "fgsm_linf_0.03.json"))
    model, data = tiny_classifier().eval(), Images()
    correct = (model(data.x).argmax(1) == data.y).tolist()
    assert clean["outcomes"] == "".join("01"[one] for one in correct)
    assert fgsm["outcomes"].count("1") == round(result["records"][0]["accuracy"] * 25)
    assert all(attacked <= before for attacked, before in zip(fgsm["outcomes"], clean["outcomes"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("fail_at", range(2, 25, 4))
def test_an_interrupted_evaluation_ends_as_an_uninterrupted_one(tmp_path, fail_at):
    whole, rest = Images(), Images()
    settings = {"attacks": [FoolboxFGSM(), RANDOM_START], "threat": Threat("linf", 0.3)}
    expected = run(tmp_path / "whole", whole, **settings)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Images(fail_at=fail_at), **settings)
    assert without_seconds(run(tmp_path / "cut", rest, **settings)) == without_seconds(expected)
    for path in (tmp_path / "whole").iterdir():
        stored = [json.loads((folder / path.name).read_text()) for folder in (path.parent, tmp_path / "cut")]
        assert without_seconds(stored[0]) == without_seconds(stored[1])
    # Nothing is measured twice: only the first batch is read again, to compare the data.
    assert rest.reads == whole.reads - (fail_at - 2)


@pytest.mark.slow
def test_a_finished_evaluation_is_not_run_again(tmp_path):
    first = run(tmp_path)
    data = Images()
    assert run(tmp_path, data) == first
    assert data.reads == 1


@pytest.mark.slow
def test_random_starts_depend_on_the_seed(tmp_path):
    outcomes = []
    for seed in range(4):
        run(tmp_path / str(seed), seed=seed, attacks=[RANDOM_START], threat=Threat("linf", 0.3))
        outcomes.append(json.loads((tmp_path / str(seed) / "pgd1_linf_0.3.json").read_text())["outcomes"])
    assert len(set(outcomes)) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": tiny_classifier(seed=1)}, "network"),
        ({"data": Images(seed=1)}, "data"),
        ({"seed": 1}, "seed"),
    ],
)
def test_results_of_another_evaluation_are_refused_and_kept(tmp_path, change, named):
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=f"{named} .* there, .* here"):
        run(tmp_path, **change)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_with_batches_of_another_size_what_is_finished_counts_and_what_is_not_is_measured_anew(tmp_path):
    """After a want of memory, say: random starts of other batches are others, and as good."""
    settings = {"attacks": [FoolboxFGSM(), RANDOM_START], "threat": Threat("linf", 0.3)}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Images(fail_at=11), **settings)
    there = {path.name: json.loads(path.read_text()) for path in (tmp_path / "cut").iterdir()}
    (unfinished,) = [name for name, stored in there.items() if len(stored["outcomes"]) < 25]
    smaller = run(tmp_path / "smaller", batch_size=5, **settings)
    found = run(tmp_path / "cut", batch_size=5, **settings)
    for name, stored in there.items():
        now = json.loads((tmp_path / "cut" / name).read_text())
        if name == unfinished:
            assert now["outcomes"] == json.loads((tmp_path / "smaller" / name).read_text())["outcomes"]
            assert now["header"]["batch_size"] == 5
        else:
            assert now == stored
    assert found["clean"]["accuracy"] == smaller["clean"]["accuracy"]


@pytest.mark.slow
def test_other_settings_of_an_attack_are_refused(tmp_path):
    run(tmp_path, attacks=[CarliniWagner(steps=2)])
    with pytest.raises(CheckpointError, match="steps 2 there, 3 here"):
        run(tmp_path, attacks=[CarliniWagner(steps=3)])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "dsrna.outcomes", "version": 1}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "clean.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"clean\.json"):
        run(tmp_path)


@pytest.mark.slow
def test_progress_counts_up_to_the_end(tmp_path):
    seen = []
    result = run(tmp_path, progress=lambda *state: seen.append(state))
    assert seen[:4] == [("Clean", done, 25, pytest.approx(seen[i][3])) for i, done in enumerate((8, 16, 24, 25))]
    assert seen[3][3] == pytest.approx(result["clean"]["accuracy"])
    assert seen[7][0] == "FGSM"
    again = []
    run(tmp_path, progress=lambda *state: again.append(state))
    assert again == [state for state in seen if state[1] == 25]


@pytest.mark.slow
def test_modes_stay(tmp_path):
    model = tiny_classifier()
    model[1].eval()
    run(tmp_path, model=model)
    assert [module.training for module in model] == [True, False, True, True, True, True]


def test_two_attacks_under_one_key_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="own key"):
        run(tmp_path, attacks=[FoolboxPGD(steps=20, step_size=0.001)])  # the curve's PGD-20 has the default step


def test_wrong_number_of_classes_is_refused(tmp_path):
    with pytest.raises(DataError, match="4 classes"):
        run(tmp_path, Images(classes=4))


def test_diverged_network_is_refused(tmp_path):
    model = tiny_classifier()
    nn.init.constant_(model[5].bias, float("nan"))
    with pytest.raises(NonFiniteError, match="not finite"):
        run(tmp_path, model=model)
    assert not (tmp_path / "clean.json").exists()


def test_no_images_are_refused(tmp_path):
    data = Images()
    data.x = data.x[:0]
    with pytest.raises(DataError, match="none"):
        run(tmp_path, data)
