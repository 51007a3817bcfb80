"""Small searches and retrainings, built alike every time, with the true modules, loaders and Trainer."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from dsrna.attacks.pgd import PGD
from dsrna.data.augmentation import Augmentation
from dsrna.data.images import ArrayImages
from dsrna.data.loader import BatchLoader, PairedLoader
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.edges.implementation import use_implementation
from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.standard import Standard
from dsrna.run_folder import RunFolder
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.metric_join import Fixed
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.regularisers.entropy import Entropy
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.training.checkpoints import load_checkpoint
from dsrna.training.fit import TrainerOptions, fit
from dsrna.training.metric_weight import MetricWeight
from dsrna.training.retrain_module import RetrainModule
from dsrna.training.search_module import SearchModule
from dsrna.types import Threat

SPACE = DartsSpace(nodes=1, primitives=("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3"))
CELL = CellGenotype(nodes=((("dil_conv_3x3", 0), ("skip_connect", 1)),), concat=(2,))
GENOTYPE = Genotype(space="darts", cells={"normal": CELL, "reduce": CELL})
SHAPE, CLASSES, BATCH = (1, 8, 8), 3, 4
THREAT = Threat("linf", 0.1)


def images(count, seed, shape=SHAPE):
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, *shape), generator=draw, dtype=torch.uint8)
    return ArrayImages(pixels, torch.arange(count) % CLASSES, CLASSES)


def batches(data, purpose, seed, train=True, replays=1):
    augmentation = Augmentation(1, False, 0) if train else None
    return BatchLoader(
        data, BATCH, seed=seed, purpose=purpose, shuffle=train, augmentation=augmentation, drop_last=train,
        replays=replays,
    )  # fmt: skip


def schedule_of(kind, optimizer, steps):
    if kind == "epoch":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
    if kind == "step":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    return None


@dataclass
class Stage:
    """A module with its loaders and folder, ready to run; ``run`` is what the pipeline does."""

    module: Any
    train: Any
    validation: Any
    folder: RunFolder
    best: list[dict[str, Any]] = field(default_factory=list)

    def run(self, minutes=0.0, limit_batches=None, precision="32-true", loggers=(), accelerator="cpu"):
        options = TrainerOptions(accelerator, precision, True, "off", minutes, limit_batches)
        fit(self.module, self.train, self.validation, self.folder, options, list(loggers))

    @property
    def last(self):
        return self.folder.last_checkpoint(self.module.stage)

    def state(self):
        return load_checkpoint(self.last)


def folder_at(path: Path) -> RunFolder:
    if (path / "run.json").exists():
        return RunFolder.open(path)
    return RunFolder.create(
        path, kind="search", fingerprint="f", config_text="", overrides=[], stages=["search", "retrain"], device="cpu"
    )


def build_search(
    path,
    *,
    epochs=3,
    train_batches=3,
    warmup=1,
    schedule="epoch",
    seed=0,
    fingerprint="f",
    strategy=None,
    metric=None,
    gamma=0.5,
    metric_join=None,
    hypergradient=None,
    clip=5.0,
    entropy_weight=0.1,
    lr=0.05,
    momentum=0.9,
    weights_decay=3e-4,
    fused=False,
    shape=SHAPE,
    dtype=torch.float32,
    regularisers=(),
    schedules=(),
    space=SPACE,
    weights_objective=None,
    architecture_objective=None,
    alphas_optimizer=None,
    implementation="reference",
):
    """A search on noise; ``path`` may hold an unfinished one."""
    strategy = strategy or PCDarts(partial_channels=2)
    torch.manual_seed(seed)
    supernet = space.supernet(shape, CLASSES, cells=3, channels=2, partial_channels=strategy.partial_channels)
    use_implementation(supernet, implementation)
    architecture = strategy.initial(space, torch.Generator().manual_seed(seed + 1))
    regularisers = [*regularisers, *([Entropy(entropy_weight)] if entropy_weight else [])]
    # The second half has one batch more, so that the two go out of step.
    weights_half, alphas_half = (
        images(train_batches * BATCH + 1, 1, shape),
        images((train_batches + 1) * BATCH + 1, 2, shape),
    )
    replays = weights_objective.replays if weights_objective else 1
    train = PairedLoader(batches(weights_half, "w", seed, replays=replays), batches(alphas_half, "a", seed))

    def optimizers(weights, alphas):
        of_weights = torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=weights_decay, fused=fused)
        adam = partial(torch.optim.Adam, lr=6e-3, betas=(0.5, 0.999), weight_decay=1e-3)
        of_alphas = (alphas_optimizer or adam)(alphas)
        return of_weights, of_alphas, schedule_of(schedule, of_weights, epochs * train_batches)

    def make_supernet(number, cells=3, partial_channels=strategy.partial_channels):
        with torch.random.fork_rng():
            torch.manual_seed(100 * seed + number)
            return SPACE.supernet(SHAPE, CLASSES, cells=cells, channels=2, partial_channels=partial_channels)

    folder = folder_at(path)
    metric = JacobianNorm("l2", "projection", derivative="central_difference") if metric is None else metric
    module = SearchModule(
        RelaxedSupernet(supernet, architecture, regularisers).to(dtype),
        space,
        weights_objective=weights_objective or Standard(),
        architecture_objective=architecture_objective or Standard(),
        hypergradient=hypergradient or FirstOrder(),
        metric=metric or None,
        metric_weight=MetricWeight(gamma, warmup, epochs, "linear"),
        metric_join=metric_join or Fixed(),
        warmup_epochs=warmup,
        gradient_clip=clip,
        make_optimizers=optimizers,
        on_epoch=lambda history: None,
        schedules=schedules,
        make_supernet=make_supernet,
        stage="search",
        seed=seed,
        fingerprint=fingerprint,
        epochs=epochs,
        schedule_interval="step" if schedule == "step" else "epoch",
    )
    return Stage(module, train, batches(images(7, 3, shape), "v", seed, train=False), folder)


def build_retrain(
    path,
    *,
    epochs=3,
    train_batches=3,
    schedule="step",
    seed=0,
    fingerprint="f",
    objective=None,
    robust_first=True,
    keep_last=False,
    torch_compile=False,
    drop_path=0.5,
    ema_decay=0.9,
    noise=0.0,
    clip=5.0,
    lr=0.05,
    auxiliary=False,
    dtype=torch.float32,
):
    """An adversarial training on noise; ``path`` may hold an unfinished one."""
    torch.manual_seed(seed)
    network = DartsSpace(nodes=1).network(GENOTYPE, SHAPE, CLASSES, cells=3, channels=2, auxiliary=auxiliary).to(dtype)

    def optimizer(weights):
        made = torch.optim.SGD(weights, lr=lr, momentum=0.9, weight_decay=3e-4)
        return made, schedule_of(schedule, made, epochs * train_batches)

    best = []

    def keep(state, numbers):
        best.append({"state": {name: value.clone() for name, value in state.items()}, "numbers": numbers})

    folder = folder_at(path)
    module = RetrainModule(
        network,
        objective=objective or Adversarial(THREAT, steps=2),
        selection_attack=PGD("linf", 0.1, steps=2),
        robust_first=robust_first,
        keep_last=keep_last,
        drop_path=drop_path,
        ema_decay=ema_decay,
        noise=noise,
        gradient_clip=clip,
        torch_compile=torch_compile,
        make_optimizer=optimizer,
        on_best=keep,
        stage="retrain",
        seed=seed,
        fingerprint=fingerprint,
        epochs=epochs,
        schedule_interval="step" if schedule == "step" else "epoch",
    )
    train = batches(images(train_batches * BATCH + 1, 1), "w", seed, replays=module.objective.replays)
    return Stage(module, train, batches(images(7, 3), "v", seed, train=False), folder, best)


@pytest.fixture(scope="session")
def search_stage():
    return build_search


@pytest.fixture(scope="session")
def retrain_stage():
    return build_retrain
