"""Each image has the same random numbers whatever the number of processes."""

from functools import partial

import pytest
import torch
from torch import nn

from dsrna.attacks.trades import TradesAttack
from dsrna.data.augmentation import Augmentation
from dsrna.data.images import ArrayImages
from dsrna.data.loader import BatchLoader
from dsrna.distributed import group
from dsrna.distributed.group import Group
from dsrna.errors import ConfigError
from dsrna.functional.projections import uniform_start
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.drop_path import DropPath
from dsrna.nn.operations.noise import Noise

IMAGES = torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def seeded():
    return torch.Generator().manual_seed(1)


def with_global_draws(of):
    def found(x):
        with torch.random.fork_rng():
            torch.manual_seed(2)
            return of(x)

    return found


def score(estimator):
    """The metric, of a network that is linear in each image, with rows of very different lengths."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 3))
    model[1].weight.data = torch.arange(3 * 128.0).view(3, 128).sin() * torch.tensor([[1.0], [5.0], [0.2]])
    metric = JacobianNorm("l2", estimator, projections=1)
    return lambda x: metric(model, x, torch.zeros(len(x), dtype=torch.long), seeded()).detach()


DRAWS = {
    "linf start": lambda x: uniform_start(x, "linf", 0.1, seeded()),
    "l2 start": lambda x: uniform_start(x, "l2", 0.5, seeded()),
    "augmentation": lambda x: Augmentation(2, True, 3)(x, seeded()),
    "TRADES start": lambda x: TradesAttack("linf", 0.1).start(x, seeded()),
    "classes": score("classes"),
    "projections": score("projection"),
    "drop-path": with_global_draws(DropPath(0.5).train()),
    "noise": with_global_draws(Noise(2, 2, 1, False).train()),
}


@pytest.fixture
def process():
    def enter(rank, size):
        group.enter(Group(rank, size, rank, None))

    yield enter
    group.leave()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("size", [2, 3])
def test_parts_together_are_the_whole(draw, size, process):
    whole, parts = draw(IMAGES), []
    for rank in range(size):
        process(rank, size)
        with group.in_parts():
            parts.append(draw(IMAGES[group.part(len(IMAGES))]))
        assert not group.dividing()
    assert torch.equal(torch.cat(parts), whole)


def test_the_dimension_of_the_images_may_be_another_one(process):
    whole = torch.rand(2, 6, 3, generator=seeded())
    process(1, 3)
    with group.in_parts():
        found = group.per_image(partial(torch.rand, generator=seeded()), (2, 2, 3), images=1)
    assert torch.equal(found, whole[:, 2:4])


@pytest.mark.parametrize("size", [1, 2, 4])
def test_loaders_give_parts_of_the_same_batches(size, process):
    data = ArrayImages(torch.arange(20 * 64, dtype=torch.uint8).view(20, 1, 8, 8), torch.arange(20) % 4, 4)

    def batches():
        loader = BatchLoader(
            data, 8, seed=3, purpose="weights", shuffle=True, augmentation=Augmentation(2, True), drop_last=True,
            in_parts=True, prefetch=True,
        )  # fmt: skip
        return list(loader.batches(1))

    whole, parts = batches(), []
    for rank in range(size):
        process(rank, size)
        parts.append(batches())
    for number, (x, y) in enumerate(whole):
        assert torch.equal(torch.cat([part[number][0] for part in parts]), x)
        assert torch.equal(torch.cat([part[number][1] for part in parts]), y)


def test_batches_that_cannot_be_shared_evenly_are_refused(process):
    process(0, 3)
    data = ArrayImages(torch.arange(20 * 64, dtype=torch.uint8).view(20, 1, 8, 8), torch.arange(20) % 4, 4)
    with pytest.raises(ConfigError, match="batches of `weights` that 3 processes can share evenly, got 8"):
        BatchLoader(data, 8, seed=0, purpose="weights", shuffle=True, drop_last=True, in_parts=True)
