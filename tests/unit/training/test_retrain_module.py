"""Retraining against a loop written by hand, and which weights are kept."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from dsrna.config.compose import compose, settings_from
from dsrna.data.images import ImageDataset
from dsrna.nn.edges.compiled.library import cpp_compiler
from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.standard import Standard
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages.evaluate import evaluate
from dsrna.stages.job import Job
from dsrna.stages.retrain import retrain
from dsrna.stages.search import search
from dsrna.training.dashboards.base import Dashboards
from dsrna.types import Threat

LR, CLIP, EPS, STEPS = 0.05, 0.5, 0.1, 2


def pgd_by_hand(network, x, y):
    """Madry et al.'s attack in evaluation mode, from the image itself."""
    network.eval()
    found = x
    for _ in range(STEPS):
        found = found.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(network(found), y), found)
        found = found + 2.5 * EPS / STEPS * gradient.sign()
        found = torch.minimum(torch.maximum(found, x - EPS), x + EPS).clamp(0, 1).detach()
    network.train()
    return found


def by_hand(network, train, *, epochs, adversarial, drop_path, ema_decay, auxiliary_weight):
    weights = list(network.parameters())
    sgd = torch.optim.SGD(weights, lr=LR, momentum=0.9, weight_decay=3e-4)
    cycle = torch.optim.lr_scheduler.OneCycleLR(sgd, max_lr=0.1, total_steps=9)
    network.train()
    average = None
    for epoch in range(epochs):
        network.set_drop_path(drop_path * epoch / epochs)
        train.epoch = epoch
        for x, y in train:
            x = x.double()
            inputs = pgd_by_hand(network, x, y) if adversarial else x
            logits, auxiliary = network.forward_with_auxiliary(inputs)
            loss = F.cross_entropy(logits, y)
            if auxiliary is not None:
                loss = loss + auxiliary_weight * F.cross_entropy(auxiliary, y)
            sgd.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, CLIP)
            sgd.step()
            cycle.step()
            state = network.state_dict()
            if average is None:
                average = copy.deepcopy(state)
            else:
                for name, value in average.items():
                    if value.is_floating_point():
                        value.mul_(ema_decay).add_(state[name], alpha=1 - ema_decay)
    return average


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", [False, True])
@pytest.mark.parametrize("auxiliary", [False, True])
def test_it_is_the_textbook_loop(retrain_stage, tmp_path, adversarial, auxiliary):
    threat = Threat("linf", EPS)
    arguments = {"random_start": False, "steps": STEPS} if adversarial else {}
    objective = (Adversarial if adversarial else Standard)(threat, auxiliary_weight=0.3, **arguments)

    def build(path):
        return retrain_stage(
            path, objective=objective, drop_path=0.6, ema_decay=0.8, clip=CLIP, auxiliary=auxiliary, dtype=torch.float64
        )

    stage, other = build(tmp_path / "run"), build(tmp_path / "hand")
    random = torch.get_rng_state()
    stage.run(precision="64-true")
    torch.set_rng_state(random)  # drop-path draws from it
    average = by_hand(
        other.module.network, other.train, epochs=3, adversarial=adversarial, drop_path=0.6, ema_decay=0.8,
        auxiliary_weight=0.3,
    )  # fmt: skip
    for found, expected in (
        (stage.module.network.state_dict(), other.module.network.state_dict()),
        (stage.module.validated.state_dict(), average),
    ):
        for name, value in found.items():
            if value.is_floating_point():
                torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=name)
    assert stage.state()["global_step"] == 9
    name = "retrain/train/acc_adv" if adversarial else "retrain/train/acc"
    assert all(name in record for record in stage.folder.read_metrics())


@pytest.mark.slow
def test_validation_measures_the_average_in_evaluation_mode_and_changes_nothing(retrain_stage, tmp_path):
    stage = retrain_stage(tmp_path, epochs=1)
    changes = []
    step = stage.module.validation_step

    def watched(batch, batch_idx):
        before = copy.deepcopy(stage.module.state_dict())
        modes = [module.training for module in stage.module.modules()]
        step(batch, batch_idx)
        after = stage.module.state_dict()
        changes.append([name for name in before if not torch.equal(before[name], after[name])])
        assert modes == [module.training for module in stage.module.modules()]

    stage.module.validation_step = watched
    stage.run()
    assert changes == [[], []]
    images, labels = zip(*stage.validation, strict=True)
    x, y = torch.cat(images), torch.cat(labels)
    model = stage.module.validated.eval()
    record = stage.folder.read_metrics()[0]
    assert record["retrain/val/acc"] == pytest.approx((model(x).argmax(1) == y).double().mean().item())
    assert record["retrain/val/acc_adv"] <= record["retrain/val/acc"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("robust_first", "clean", "robust", "kept"),
    [
        (True, [0.5, 0.6, 0.9], [0.3, 0.4, 0.2], [0, 1]),  # later epochs overfit
        (False, [0.5, 0.6, 0.9], [0.3, 0.4, 0.2], [0, 1, 2]),
        (True, [0.5, 0.7, 0.6], [0.4, 0.4, 0.4], [0, 1]),  # as robust: the cleaner one
        (False, [0.5, 0.5, 0.5], [0.4, 0.3, 0.6], [0, 2]),  # as clean: the more robust one
        (True, [0.5, 0.5, 0.5], [0.4, 0.4, 0.4], [0, 1, 2]),  # as good: the one trained longer
        (True, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0, 1, 2]),  # useless, but there must be one
    ],
)
def test_which_weights_are_kept(retrain_stage, tmp_path, robust_first, clean, robust, kept):
    stage = retrain_stage(tmp_path, robust_first=robust_first, ema_decay=0.0)
    weights = []

    def validation_step(batch, batch_idx):
        epoch = stage.module.current_epoch
        stage.module.averages.add("val/acc", clean[epoch], len(batch[1]))
        stage.module.averages.add("val/acc_adv", robust[epoch], len(batch[1]))
        if batch_idx == 0:
            weights.append(copy.deepcopy(stage.module.network.state_dict()))

    stage.module.validation_step = validation_step
    stage.run()
    assert [best["numbers"]["epoch"] for best in stage.best] == kept
    assert [record["epoch"] for record in stage.folder.read_metrics() if record["retrain/kept"]] == kept
    last = stage.best[-1]
    assert last["numbers"]["val/acc_adv"] == pytest.approx(robust[kept[-1]])
    assert last["numbers"]["val/acc"] == pytest.approx(clean[kept[-1]])
    assert all(torch.equal(last["state"][name], value) for name, value in weights[kept[-1]].items())


class Provable(Standard):
    """Says how far it was told the training is; certifies all images in the second epoch and none in the others."""

    def __init__(self):
        super().__init__()
        self.told = []

    def advance(self, progress):
        self.told.append(progress)

    def result(self, *arguments):
        return super().result(*arguments)._replace(numbers={"progress": self.told[-1]})

    def certified(self, model, x, y):
        return torch.full(y.shape, 1 / 3 <= self.told[-1] < 2 / 3)


@pytest.mark.slow
def test_certified_accuracy_decides_where_there_is_one(retrain_stage, tmp_path):
    stage = retrain_stage(tmp_path, objective=Provable(), robust_first=False)
    stage.run()
    assert stage.best[-1]["numbers"]["epoch"] == 1
    assert stage.best[-1]["numbers"]["val/acc_certified"] == 1
    records = stage.folder.read_metrics()
    assert [record["retrain/val/acc_certified"] for record in records] == [0, 1, 0]
    assert records[0]["retrain/train/progress"] == pytest.approx((0 + 1 + 2) / 9 / 3)


@pytest.mark.slow
def test_progress_goes_on_when_resumed(retrain_stage, tmp_path):
    objective = Provable()
    stage = retrain_stage(tmp_path, objective=objective)
    step = stage.module.training_step

    def training_step(batch, batch_idx):
        if stage.module.global_step == 4:
            raise RuntimeError
        step(batch, batch_idx)

    stage.module.training_step = training_step
    with pytest.raises(RuntimeError):
        stage.run(minutes=1e-9)
    again = retrain_stage(tmp_path, objective=objective)
    again.run()
    assert objective.told == pytest.approx([step / 9 for step in range(9)])


@pytest.mark.slow
def test_the_last_weights_are_kept_where_so_asked(retrain_stage, tmp_path):
    stage = retrain_stage(tmp_path, keep_last=True)

    def validation_step(batch, batch_idx):
        for name in ("val/acc", "val/acc_adv"):  # every epoch is worse than the one before
            stage.module.averages.add(name, 0.5 - 0.1 * stage.module.current_epoch, len(batch[1]))

    stage.module.validation_step = validation_step
    stage.run()
    assert [best["numbers"]["epoch"] for best in stage.best] == [0, 1, 2]
    assert [record["retrain/kept"] for record in stage.folder.read_metrics()] == [1, 1, 1]


@pytest.mark.slow
def test_a_resumed_stage_remembers_the_best_so_far(retrain_stage, tmp_path):
    def build():
        stage = retrain_stage(tmp_path)

        def validation_step(batch, batch_idx):
            stage.module.averages.add("val/acc", 0.5, len(batch[1]))
            stage.module.averages.add("val/acc_adv", (0.4, 0.3, 0.2)[stage.module.current_epoch], len(batch[1]))

        stage.module.validation_step = validation_step
        return stage

    first = build()
    step = first.module.training_step

    def training_step(batch, batch_idx):
        if first.module.global_step == 4:
            raise RuntimeError
        step(batch, batch_idx)

    first.module.training_step = training_step
    with pytest.raises(RuntimeError):
        first.run()
    second = build()
    second.run()
    assert [best["numbers"]["epoch"] for best in first.best] == [0]
    assert second.best == [], "no later epoch is as good"


def test_the_average_is_kept_where_there_is_one(retrain_stage, tmp_path):
    stage = retrain_stage(tmp_path, epochs=1, ema_decay=0.9)
    stage.run()
    kept = stage.best[-1]["state"]
    assert all(torch.equal(kept[name], value) for name, value in stage.module.average.module.state_dict().items())
    assert any(not torch.equal(kept[name], value) for name, value in stage.module.network.state_dict().items())
    assert kept.keys() == stage.module.network.state_dict().keys(), "it loads into a plain network"


@pytest.mark.slow
def test_the_loss_sees_images_with_noise_and_nothing_else_does(retrain_stage, tmp_path):
    """An image of every batch is noted where the network is asked for logits by the loss, by attack and validation."""

    def seen(noise, folder):
        stage = retrain_stage(folder, epochs=2, noise=noise, objective=Standard(), drop_path=0.0, ema_decay=0.0, lr=0.0)
        network, found = stage.module.network, {"loss": [], "else": []}
        passing = network.forward_with_auxiliary

        def forward_with_auxiliary(images):
            found["loss"].append(images.detach().clone())
            return passing(images)

        network.forward_with_auxiliary = forward_with_auxiliary
        network.register_forward_pre_hook(lambda _, inputs: found["else"].append(inputs[0].detach().clone()))
        stage.run()
        return {name: torch.cat(images) for name, images in found.items()}

    without, noisy, again = (seen(noise, tmp_path / str(n)) for n, noise in enumerate((0.0, 0.3, 0.3)))
    difference = noisy["loss"] - without["loss"]
    assert difference.std().item() == pytest.approx(0.3, rel=0.1)
    assert difference.mean().item() == pytest.approx(0.0, abs=0.05)
    assert torch.equal(noisy["loss"], again["loss"])
    assert not torch.equal(*difference.chunk(2)), "another epoch draws others"
    assert noisy["else"].min() >= 0
    assert noisy["else"].max() <= 1


@pytest.mark.slow
def test_drop_path_grows_over_the_epochs_also_when_resumed(retrain_stage, tmp_path):
    def probabilities(stage):
        found = []
        step = stage.module.training_step

        def training_step(batch, batch_idx):
            found.extend({m.probability for m in stage.module.network.modules() if hasattr(m, "probability")})
            if len(found) == 5:
                raise RuntimeError
            step(batch, batch_idx)

        stage.module.training_step = training_step
        return found

    stage = retrain_stage(tmp_path, drop_path=0.6)
    first = probabilities(stage)
    with pytest.raises(RuntimeError):
        stage.run(minutes=1e-9)
    again = retrain_stage(tmp_path, drop_path=0.6)
    second = probabilities(again)
    with pytest.raises(RuntimeError):
        again.run()
    assert first == pytest.approx([0.0, 0.0, 0.0, 0.2, 0.2])
    assert second == pytest.approx([0.2, 0.2, 0.4, 0.4, 0.4]), "the fifth batch again, then the rest"


class Untouchable(ImageDataset):
    """A test split whose images nobody may look at."""

    def __init__(self, like):
        super().__init__(like.shape, like.classes, like.labels)

    def digest(self):
        return ""

    def batch(self, indices):
        raise AssertionError("the test split was read")


@pytest.mark.slow
def test_search_and_retrain_never_look_at_the_test_split(tmp_path):
    overrides = ["trainer=debug", "trainer.limits.batches=1", "data.train_limit=200", "retrain.baseline=false"]
    settings = settings_from(compose("search", overrides))
    stages = ["search", "retrain"]
    folder = RunFolder.create(
        tmp_path, kind="search", fingerprint="f", config_text="", overrides=overrides, stages=stages, device="cpu"
    )
    splits = load_splits(settings)
    job = Job(
        settings=settings,
        folder=folder,
        fingerprint="f",
        splits=dataclasses.replace(splits, test=Untouchable(splits.test)),
        dashboard=Dashboards(),
    )
    search(job)
    retrain(job)
    assert folder.best_checkpoint("retrain").exists()
    with pytest.raises(AssertionError, match="the test split was read"):
        evaluate(job)


@pytest.mark.slow
@pytest.mark.skipif(cpp_compiler() is None, reason="torch.compile needs a C++ compiler")
def test_attacks_by_torch_compile_are_reproducible_and_leave_no_trace_in_what_is_saved(
    tmp_path, retrain_stage, monkeypatch
):
    """Traced as for any compiler but run by torch: making kernels takes half a minute."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compiled(network, backend="aot_eager"))
    runs = []
    for name in ("one", "two"):
        stage = retrain_stage(tmp_path / name, torch_compile=True, epochs=2, drop_path=0.3)
        stage.run()
        runs.append(stage.best[-1])
    plain = retrain_stage(tmp_path / "plain", epochs=2, drop_path=0.3)
    plain.run()
    assert runs[0]["state"].keys() == plain.best[-1]["state"].keys()
    assert runs[0]["numbers"] == runs[1]["numbers"]
    torch.testing.assert_close(runs[0]["state"], runs[1]["state"], rtol=0, atol=0)
