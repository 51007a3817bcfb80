"""The search's steps against loops written by hand."""

import copy
import math
from typing import ClassVar

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.func import functional_call

from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.certified import Certified
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.strategies.darts import Darts
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.unrolled import Unrolled

LR, MOMENTUM, DECAY, CLIP = 0.05, 0.9, 3e-4, 0.5
EXACT = JacobianNorm("l2", "exact")


def jacobian_score(model, x):
    """-(1/K) sum_k ||J_k||_2, mean over the images, from torch's own Jacobian, in evaluation mode."""
    model.eval()
    rows = torch.autograd.functional.jacobian(
        lambda images: model(images).sum(0), x, create_graph=True
    )  # (K, N, C, H, W)
    model.train()
    return -rows.flatten(2).norm(dim=2).mean()


def entropy(model):
    cells = [cell.operations for cell in model.architecture().values()]
    return sum(-(cell * cell.log()).sum() / len(cell) for cell in cells) / len(cells)


def look(model, x, weights=None):
    """The logits, with other weights if given, leaving the running statistics alone."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return functional_call(model, buffers | (weights or {}), (x,))


def by_hand(model, train, *, epochs, warmup, gamma, entropy_weight, unrolled):
    """DARTS as its paper says it, with DSRNA's term; gamma grows linearly over the epochs after the warm-up."""
    weights, alphas = list(model.supernet.parameters()), list(model.architecture.parameters())
    sgd = torch.optim.SGD(weights, lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    adam = torch.optim.Adam(alphas, lr=6e-3, betas=(0.5, 0.999), weight_decay=1e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=3)
    names = [name for name, _ in model.supernet.named_parameters()]
    model.train()
    train_losses = []
    for epoch in range(epochs):
        train.epoch = epoch
        losses = []
        for (x, y), (x_val, y_val) in train:
            x, x_val = x.double(), x_val.double()
            if epoch >= warmup:
                ahead = None
                if unrolled:
                    gradients = torch.autograd.grad(F.cross_entropy(look(model, x), y), weights, create_graph=True)
                    ahead = {}
                    for name, w, g in zip(names, weights, gradients, strict=True):
                        direction = MOMENTUM * sgd.state[w]["momentum_buffer"] + g + DECAY * w.detach()
                        ahead[f"supernet.{name}"] = w.detach() - sgd.param_groups[0]["lr"] * direction
                loss = F.cross_entropy(look(model, x_val, ahead), y_val) + entropy_weight * entropy(model)
                if gamma:
                    loss = loss - gamma * (epoch - warmup + 1) / (epochs - warmup) * jacobian_score(model, x_val)
                for alpha, gradient in zip(alphas, torch.autograd.grad(loss, alphas), strict=True):
                    alpha.grad = gradient
                adam.step()
            sgd.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward(inputs=weights)
            torch.nn.utils.clip_grad_norm_(weights, CLIP)
            sgd.step()
            losses.append(loss.item())
        cosine.step()
        train_losses.append(sum(losses) / len(losses))
    return train_losses, sgd.param_groups[0]["lr"]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [Darts(), PCDarts(partial_channels=2)], ids=["darts", "pcdarts"])
@pytest.mark.parametrize(
    ("gamma", "hypergradient", "entropy_weight"),
    [(0.0, None, 0.0), (0.4, None, 0.1), (0.0, Unrolled("exact"), 0.0)],
    ids=["plain", "jacobian and entropy", "unrolled"],
)
def test_it_is_the_textbook_loop(search_stage, tmp_path, strategy, gamma, hypergradient, entropy_weight):
    def build(path):
        return search_stage(
            path,
            strategy=strategy,
            metric=EXACT if gamma else False,
            gamma=gamma,
            hypergradient=hypergradient,
            clip=CLIP,
            entropy_weight=entropy_weight,
            lr=LR,
            momentum=MOMENTUM,
            weights_decay=DECAY,
            dtype=torch.float64,
        )

    stage, other = build(tmp_path / "run"), build(tmp_path / "hand")
    start = copy.deepcopy(stage.module.model.state_dict())
    stage.run(precision="64-true")
    losses, lr = by_hand(
        other.module.model, other.train, epochs=3, warmup=1, gamma=gamma, entropy_weight=entropy_weight,
        unrolled=hypergradient is not None,
    )  # fmt: skip
    expected = other.module.model.state_dict()
    for name, found in stage.module.model.state_dict().items():
        torch.testing.assert_close(
            found, expected[name], rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}"
        )
        if "alphas" in name or "betas" in name or "weight" in name:
            assert not torch.equal(found, start[name]), f"{name} was not trained"
    records = stage.folder.read_metrics()
    assert [record["search/train/loss"] for record in records] == pytest.approx(losses, rel=1e-9)
    rates = [LR * (1 + math.cos(math.pi * epoch / 3)) / 2 for epoch in range(3)]
    assert [record["search/lr"] for record in records] == pytest.approx(rates)
    assert stage.module.weights_optimizer().param_groups[0]["lr"] == pytest.approx(lr, abs=1e-12)
    assert [record["step"] for record in records] == [3, 6, 9], "global_step counts weight steps, once"


@pytest.mark.slow
def test_a_fused_optimiser_takes_the_same_steps(search_stage, tmp_path):
    """Weight gradients of convolutions come channels-last, and a fused optimiser would pair them with other weights."""
    plain, fused = (
        search_stage(tmp_path / str(kind), fused=kind, shape=(3, 8, 8), dtype=torch.float64) for kind in (False, True)
    )
    layouts = []
    step = fused.module.weight_step

    def watched(loss, weights, *rest):
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
        layouts.extend(
            w.stride() == g.stride() for w, g in zip(weights, gradients, strict=True) if g is not None and g.dim() == 4
        )
        step(loss, weights, *rest)

    fused.module.weight_step = watched
    for stage in (plain, fused):
        stage.run(precision="64-true")
    assert not all(layouts), "the case that this is about"
    expected = plain.module.state_dict()
    for name, value in fused.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")


@pytest.fixture
def frozen_in_turn(search_stage, tmp_path):
    """Runs a stage and gives the snapshots before and after every weight step and every architecture step."""

    def frozen_in_turn(**arguments):
        stage = search_stage(tmp_path, **arguments)
        module, seen = stage.module, []

        def watched(kind, step):
            def run(*args):
                before = copy.deepcopy(module.model.state_dict())
                step(*args)
                seen.append((module.current_epoch, kind, before, copy.deepcopy(module.model.state_dict())))

            return run

        module.weight_step = watched("weights", module.weight_step)
        module._architecture_step = watched("alphas", module._architecture_step)
        stage.run()
        return seen

    return frozen_in_turn


@pytest.mark.slow
@pytest.mark.parametrize("hypergradient", [None, Unrolled("exact"), Unrolled("finite_difference")])
def test_each_step_leaves_the_others_part_as_it_is_to_the_last_bit(frozen_in_turn, hypergradient):
    seen = frozen_in_turn(hypergradient=hypergradient, metric=EXACT if hypergradient is None else False)
    for _, kind, before, after in seen:
        for name in before:
            same = torch.equal(before[name], after[name])
            if kind == "alphas":
                assert same != name.startswith(("architecture.alphas", "architecture.betas")), name
            elif name.startswith("architecture."):
                assert same, name
        if kind == "weights":
            assert not torch.equal(before["supernet.classifier.weight"], after["supernet.classifier.weight"])


@pytest.mark.slow
def test_the_forward_pass_of_the_weight_step_alone_moves_the_running_statistics(search_stage, tmp_path):
    stage = search_stage(tmp_path, epochs=2, warmup=0)
    stage.run()
    counts = {int(v) for name, v in stage.module.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {6}


@pytest.mark.slow
@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_warm_up_epochs_take_no_architecture_step(frozen_in_turn, warmup):
    kinds = [(epoch, kind) for epoch, kind, _, _ in frozen_in_turn(warmup=warmup, metric=False)]
    expected = [(epoch, "weights") for epoch in range(warmup) for _ in range(3)]
    expected += [(epoch, kind) for epoch in range(warmup, 3) for _ in range(3) for kind in ("alphas", "weights")]
    assert kinds == expected, "an architecture step comes before the weight step of its batch"


@pytest.mark.slow
def test_the_objective_falls_along_the_gradient_that_the_alphas_get(search_stage, tmp_path):
    """L_val - gamma R + entropy_weight H, by central differences in float64; gamma with its sign."""
    gamma, entropy_weight, step = 0.7, 0.3, 1e-5
    stage = search_stage(
        tmp_path, warmup=0, epochs=1, metric=EXACT, gamma=gamma, entropy_weight=entropy_weight, dtype=torch.float64
    )
    module, model = stage.module, stage.module.model
    found = []
    original = module.hypergradient

    def watched(**closures):
        result = original(**closures)
        if not found:
            (x, y) = seen[0][1]
            for alpha, gradient in zip(closures["alphas"], result.gradients, strict=True):
                index = int(gradient.abs().argmax())
                values = []
                for sign in (1, -1):
                    with torch.no_grad():
                        alpha.view(-1)[index] += sign * step
                    loss = F.cross_entropy(model(x), y) + entropy_weight * entropy(model)
                    values.append((loss - gamma * jacobian_score(model, x)).item())
                    with torch.no_grad():
                        alpha.view(-1)[index] -= sign * step
                found.append((gradient.view(-1)[index].item(), (values[0] - values[1]) / (2 * step)))
        return result

    seen = []
    training_step = module.training_step

    def step_seen(batch, batch_idx):
        seen.append(batch)
        training_step(batch, batch_idx)

    module.hypergradient, module.training_step = watched, step_seen
    stage.run(precision="64-true", limit_batches=1)
    assert len(found) == 4
    for gradient, difference in found:
        assert gradient == pytest.approx(difference, rel=1e-5)


@pytest.mark.slow
def test_the_metric_draws_anew_in_every_step_and_the_same_in_every_run(search_stage, tmp_path):
    def draws(path):
        found = []

        class Drawing(JacobianNorm):
            def score(self, model, x, y, generator):
                found.append(torch.rand(1, generator=generator).item())
                return model(x).sum(1)

        search_stage(path, metric=Drawing()).run()
        return found

    first, second = draws(tmp_path / "1"), draws(tmp_path / "2")
    assert first == second
    assert len(set(first)) == 2 * 3


@pytest.mark.slow
def test_what_a_metric_notes_is_logged_and_it_advances_before_every_step_that_uses_it(search_stage, tmp_path):
    class Advancing(RobustnessMetric):
        numbers: ClassVar = {}

        def advance(self, progress):
            self.numbers = {"progress": progress, "calls": self.numbers.get("calls", 0) + 1}

        def score(self, model, x, y, generator):
            return model(x).sum(1)

    stage = search_stage(tmp_path, metric=Advancing())
    stage.run()
    records = stage.folder.read_metrics()
    epochs, steps = ([record for record in records if record["kind"] == kind] for kind in ("epoch", "step"))
    assert "search/val/progress" not in epochs[0], "warm-up"
    assert [record["search/val/progress"] for record in epochs[1:]] == pytest.approx([4 / 9, 7 / 9])
    assert [record["search/val/calls"] for record in epochs[1:]] == pytest.approx([2, 5])
    assert [record["step"] for record in steps] == list(range(4, 10))
    assert [record["search/step/progress"] for record in steps] == pytest.approx([step / 9 for step in range(3, 9)])


@pytest.mark.slow
def test_the_certified_metrics_eps_follows_the_search(search_stage, tmp_path):
    stage = search_stage(tmp_path, metric=Certified())
    stage.run()
    second, third = (record for record in stage.folder.read_metrics() if record.get("epoch", 0) > 0)
    for record in (second, third):
        assert record["search/val/bound_width"] == pytest.approx(record["search/val/logit_spread"], rel=0.5)
    assert second["search/val/eps"] != third["search/val/eps"]
    assert stage.state()["dsrna"]["extra"]["metric"] == stage.module.metric.numbers


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["epoch", "step", None])
def test_schedules_advance_as_often_as_they_should(search_stage, tmp_path, schedule):
    stage = search_stage(tmp_path, schedule=schedule)
    stage.run()
    schedulers = stage.state()["lr_schedulers"]
    assert [scheduler["last_epoch"] for scheduler in schedulers] == {"epoch": [3], "step": [9], None: []}[schedule]


@pytest.mark.parametrize("flags", [{"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}])
def test_flags_of_the_trainer_that_would_do_nothing_are_refused(search_stage, tmp_path, flags):
    stage = search_stage(tmp_path)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, **flags
    )
    with pytest.raises(Exception, match="not supported for manual optimization"):
        trainer.fit(stage.module, stage.train, stage.validation)


def test_several_devices_are_refused(search_stage, tmp_path, monkeypatch):
    stage = search_stage(tmp_path)
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    with pytest.raises(Exception, match=r"Expected one device, got 2: processes are dsrna.s own, by trainer\.devices"):
        stage.run()
