"""Verification as a whole: its radii against closed forms, what contradicts itself, limits, interruption."""

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from dsrna.bounds.engine import BoundEngine, Bounds
from dsrna.bounds.engines import ENGINES
from dsrna.bounds.ibp import IBP
from dsrna.errors import CheckpointError, ConfigError, DataError, NonFiniteError, SoundnessError
from dsrna.verification import Verdict, Verification, verify

FAST = {"engines": ["ibp"], "attack_steps": 5, "attack_restarts": 1}


def network(seed=0, hidden=0, dtype=torch.float32):
    """Linear on 2 x 3 x 3 images with three classes, or with one hidden layer; the grey image is on all boundaries."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(18, 3)] if not hidden else [nn.Linear(18, hidden), nn.ReLU(), nn.Linear(hidden, 3)]
    model = nn.Sequential(nn.Flatten(), *layers).to(dtype)
    model[-1].bias.data -= model(torch.full((1, 2, 3, 3), 0.5, dtype=dtype))[0]
    return model


def images(model, count=12, wrong=3, dtype=torch.float32):
    """Images away from the faces of the cube; every third class is wrong."""
    x = 0.3 + 0.4 * torch.rand(count, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
    y = model(x).argmax(1)
    y[::wrong] = (y[::wrong] + 1) % 3
    return x, y


def radii(folder, norm):
    document = json.loads((folder / f"verification_{norm}.json").read_text())
    return [Verdict(**one) for one in document["verdicts"]]


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_the_certified_radius_of_a_linear_network_is_the_closed_form(tmp_path, norm, dual):
    """min_j (f_y - f_j) / ||w_y - w_j||_q, where the ball doesn't reach the faces of the cube."""
    model = network(dtype=torch.float64)
    x, y = images(model, dtype=torch.float64)
    x = 0.4 * x + 0.3
    logits, weight = model(x).detach(), model[1].weight.detach()
    margins = logits.gather(1, y[:, None]) - logits
    distances = margins / (weight[y][:, None] - weight).norm(p=dual, dim=2)
    distances[torch.arange(len(y)), y] = torch.inf
    expected = distances.amin(dim=1).clamp(min=0)
    assert expected.max() < 0.42 <= torch.minimum(x, 1 - x).min(), "or it would reach the faces"

    result = verify(
        model, (x, y), Verification(norm=norm, engines=["ibp", "crown"], bisection_steps=30), seed=0, folder=tmp_path
    )
    found = radii(tmp_path, norm)
    for verdict, radius in zip(found, expected.tolist(), strict=True):
        assert verdict.certified <= radius
        assert verdict.certified == pytest.approx(radius, rel=1e-5)
        assert verdict.attacked >= radius * (1 - 1e-6)
        assert verdict.attacked <= 1.5 * radius
    right = [verdict for verdict in found if verdict.correct]
    assert len(right) == result["correct"] == 8
    assert result["radius"]["mean"] == pytest.approx(expected[expected > 0].mean().item(), rel=1e-5)


def test_the_curve_counts_the_verdicts(tmp_path):
    model = network(hidden=8)
    eps = [0.001, 0.01, 0.02, 0.05, 0.3]
    result = verify(model, images(model), Verification(eps=eps, **FAST), seed=0, folder=tmp_path)
    verdicts = radii(tmp_path, "linf")
    for point in result["curve"]:
        certified = sum(v.certified >= point["eps"] for v in verdicts)
        attacked = sum(v.attacked is not None and v.attacked <= point["eps"] for v in verdicts)
        assert point["certified"] == certified / 12
        assert point["standing"] == (12 - attacked) / 12
        assert point["undecided"] == pytest.approx(1 - (certified + attacked) / 12)
        assert point["certified_interval"][0] <= point["certified"] <= point["certified_interval"][1]
    shares = [(point["certified"], point["standing"]) for point in result["curve"]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0][0] > 0
    assert shares[-1][1] < shares[0][1]
    assert sum(result["proved_by"].values()) == sum(v.certified > 0 for v in verdicts)


@pytest.mark.slow
def test_a_tighter_engine_only_adds_proofs(tmp_path):
    model = network(hidden=8)
    loose = verify(model, images(model), Verification(**FAST), seed=0, folder=tmp_path / "loose")
    chain = Verification(**FAST | {"engines": ["crown", "ibp"]})
    assert chain.engines == ("ibp", "crown")
    tight = verify(model, images(model), chain, seed=0, folder=tmp_path / "tight")
    for one, other in zip(radii(tmp_path / "loose", "linf"), radii(tmp_path / "tight", "linf"), strict=True):
        # Bisections take different ways, so the radii of one engine differ by a last step.
        assert other.certified >= one.certified * 0.99
    assert tight["radius"]["mean"] > loose["radius"]["mean"]
    assert tight["radius"]["attacked_mean"] == loose["radius"]["attacked_mean"]


class Wrong(BoundEngine):
    """Says that nothing changes in any ball."""

    def bound(self, model, x, eps, y):
        margins = IBP(self.norm)(model, x, 0.0, y).lower
        return Bounds(margins, margins)


def test_a_contradiction_is_an_error_that_saves_the_image(tmp_path, monkeypatch):
    monkeypatch.setitem(ENGINES, "wrong", Wrong)
    model = network()
    x, y = images(model)
    settings = Verification(eps=[0.2], engines=["ibp", "wrong"], attack_steps=10)
    with pytest.raises(SoundnessError, match=r"wrong are wrong: image \d+ .*contradiction_\d+\.npz"):
        verify(model, (x, y), settings, seed=0, folder=tmp_path)
    (path,) = tmp_path.glob("contradiction_*.npz")
    with np.load(path) as saved:
        index = int(path.stem.rpartition("_")[2])
        assert torch.equal(torch.from_numpy(saved["image"]), x[index])
        assert int(saved["label"]) == int(y[index])
        point = torch.from_numpy(saved["point"])
        assert model(point[None]).argmax() != y[index]
        assert (point - x[index]).abs().max() <= 1
        assert (saved["margins"] > 0).all()
    assert not (tmp_path / "verification_linf.json").exists()


def test_an_image_out_of_time_gets_no_more_bounds(tmp_path):
    model = network(hidden=8)
    timed = Verification(eps=[1e-4, 0.01], seconds_per_image=1e-9, **FAST)
    result = verify(model, images(model), timed, seed=0, folder=tmp_path)
    for verdict in radii(tmp_path, "linf"):
        assert verdict.stopped == ("time limit" if verdict.correct else "")
        assert verdict.certified in (0, 1e-4), "the first bound is not interrupted"
    assert result["stopped"] == {"time limit": 8}


class Hungry(IBP):
    """Runs out of memory where a batch has more than two images, or the image is the given one."""

    calls: ClassVar[list[int]] = []
    unfit: ClassVar[torch.Tensor | None] = None

    def bound(self, model, x, eps, y):
        self.calls.append(len(x))
        if len(x) > 2 or (len(x) == 1 and self.unfit is not None and torch.equal(x[0], self.unfit)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.unfit is not None and any(torch.equal(one, self.unfit) for one in x):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return super().bound(model, x, eps, y)


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_halved_and_an_image_that_does_not_stays_undecided(tmp_path, monkeypatch):
    model = network(hidden=8)
    x, y = images(model)
    verify(model, (x, y), Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path / "whole")
    monkeypatch.setitem(ENGINES, "ibp", Hungry)
    monkeypatch.setattr(Hungry, "calls", [])
    verify(model, (x, y), Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path / "halved")
    whole, halved = (radii(tmp_path / name, "linf") for name in ("whole", "halved"))
    assert [v.certified for v in halved] == pytest.approx([v.certified for v in whole], rel=1e-3)
    assert not any(v.stopped for v in halved)
    assert sum(size > 2 for size in Hungry.calls) == 3, "for 8 images and each half of them; remembered from then on"

    monkeypatch.setattr(Hungry, "unfit", x[4])
    result = verify(model, (x, y), Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path / "unfit")
    unfit = radii(tmp_path / "unfit", "linf")
    assert result["stopped"] == {"out of memory": 1}
    assert unfit[4].stopped == "out of memory"
    assert unfit[4].certified == 0
    assert unfit[4].attacked == whole[4].attacked
    assert [v.certified for v in unfit[5:]] == pytest.approx([v.certified for v in whole[5:]], rel=1e-3)


def test_verdicts_are_those_of_full_precision(tmp_path):
    """TF32 or bfloat16 would round to 10 or 8 bits; a margin that is proved must be larger than rounding."""
    seen = set()

    class Watched(nn.Sequential):
        def forward(self, x):
            seen.add((torch.is_autocast_enabled("cpu"), torch.backends.cudnn.conv.fp32_precision))
            return super().forward(x)

    model = Watched(*network(hidden=8))
    data = images(model)
    verify(model, data, Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path / "alone")
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        verify(model, data, Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path / "autocast")
        assert torch.is_autocast_enabled("cpu")
    assert seen == {(False, "ieee")}
    assert radii_alone(tmp_path / "autocast") == radii_alone(tmp_path / "alone")


def radii_alone(folder):
    return [(verdict.certified, verdict.attacked) for verdict in radii(folder, "linf")]


def test_other_errors_of_an_engine_are_not_taken_for_a_lack_of_memory(tmp_path, monkeypatch):
    class Broken(IBP):
        def bound(self, model, x, eps, y):
            if x.shape[1] == 2:
                raise RuntimeError("shape mismatch")
            return super().bound(model, x, eps, y)

    monkeypatch.setitem(ENGINES, "ibp", Broken)
    model = network()
    with pytest.raises(RuntimeError, match="shape mismatch"):
        verify(model, images(model), Verification(**FAST), seed=0, folder=tmp_path)


def without_time(value):
    text = json.dumps(value)
    return json.loads(text, object_hook=lambda one: {k: v for k, v in one.items() if not k.endswith("seconds")})


@pytest.mark.slow
def test_an_interrupted_verification_ends_as_an_uninterrupted_one(tmp_path):
    model = network(hidden=8)
    settings = Verification(eps=[0.01, 0.02], batch_size=5, **FAST)
    whole = verify(model, images(model), settings, seed=0, folder=tmp_path / "whole")
    shown = []

    def interrupt(done, count, numbers):
        shown.append((done, count))
        if done == 5 and len(shown) == 1:
            raise KeyboardInterrupt

    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        verify(model, images(model), settings, seed=0, folder=folder, progress=interrupt)
    assert len(radii(folder, "linf")) == 5
    resumed = verify(model, images(model), settings, seed=0, folder=folder, progress=interrupt)
    assert shown == [(5, 12), (5, 12), (10, 12), (12, 12)]
    assert without_time(resumed) == without_time(whole)
    first, second = (json.loads((tmp_path / one / "verification_linf.json").read_text()) for one in ("whole", "cut"))
    assert without_time(first) == without_time(second)


@pytest.mark.parametrize("change", [{"seed": 1}, {"model": network(1, 8)}, {"settings": Verification(eps=[0.1])}])
def test_results_of_another_verification_are_refused(tmp_path, change):
    model = network(hidden=8)
    given = {"model": model, "settings": Verification(eps=[0.01], **FAST), "seed": 0}
    data = images(model)

    def run(model, settings, seed):
        return verify(model, data, settings, seed=seed, folder=tmp_path)

    run(**given)
    with pytest.raises(CheckpointError, match="another evaluation"):
        run(**given | change)


def test_the_network_stays_as_it_was(tmp_path):
    model = nn.Sequential(nn.BatchNorm2d(2), *network(hidden=8)).train()
    model[1:].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = images(model.eval())
    model[0].train()
    verify(model, (x, y), Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path)
    assert model[0].training
    assert not model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_only_the_first_images_are_verified(tmp_path):
    model = network(hidden=8)
    data = images(model)
    result = verify(model, data, Verification(eps=[0.01], images=7, **FAST), seed=0, folder=tmp_path)
    assert result["images"] == len(radii(tmp_path, "linf")) == 7
    more = verify(model, data, Verification(eps=[0.01], images=99, **FAST), seed=0, folder=tmp_path / "more")
    assert more["images"] == 12


def test_images_that_are_all_misclassified_have_a_result(tmp_path):
    model = network()
    result = verify(model, images(model, wrong=1), Verification(eps=[0.01], **FAST), seed=0, folder=tmp_path)
    assert (result["correct"], result["radius"]) == (0, None)
    assert result["curve"][0]["standing"] == 0


@pytest.mark.parametrize(
    ("x", "y", "error", "says"),
    [
        (torch.rand(0, 2, 3, 3), torch.zeros(0, dtype=torch.int64), DataError, "Expected images"),
        (torch.rand(2, 2, 3, 3) + 1, torch.zeros(2, dtype=torch.int64), DataError, r"images in \[0, 1\]"),
        (torch.rand(2, 2, 3, 3), torch.full((2,), 3), DataError, "classes from 0 to 2"),
        (torch.rand(2, 2, 3, 3), torch.zeros(3, dtype=torch.int64), DataError, "one class each"),
    ],
)
def test_unusable_images_are_refused(tmp_path, x, y, error, says):
    with pytest.raises(error, match=says):
        verify(network(), (x, y), Verification(**FAST), seed=0, folder=tmp_path)


def test_a_network_with_nan_is_refused(tmp_path):
    model = network()
    data = images(model)
    model[1].weight.data[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="not finite"):
        verify(model, data, Verification(**FAST), seed=0, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"engines": ["corwn"]}, r"corwn.*crown.*\(conf: engines\)"),
        ({"engines": []}, r"list of engines.*\(conf: engines\)"),
        ({"engines": "ibp"}, r"list of engines.*\(conf: engines\)"),
        ({"eps": 0.1}, r"list of radii.*\(conf: eps\)"),
        ({"eps": [2]}, r"did you mean 2/255\?.*\(conf: eps\)"),
        ({"eps": [0]}, r"above 0.*\(conf: eps\)"),
        ({"eps": ["a"]}, r"'a'.*\(conf: eps\)"),
        ({"norm": "l1"}, r"'l1'.*\(conf: norm\)"),
        ({"radius": False}, r"nothing to verify.*\(conf: eps\)"),
        ({"radius": 1}, r"true or false.*\(conf: radius\)"),
        ({"images": 0}, r">= 1.*\(conf: images\)"),
        ({"batch_size": 1.5}, r">= 1.*\(conf: batch_size\)"),
        ({"seconds_per_image": 0}, r"above 0.*\(conf: seconds_per_image\)"),
    ],
)
def test_bad_settings_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        Verification(**change)
