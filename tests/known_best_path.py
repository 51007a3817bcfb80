"""A supernet of which one path is known to be the best: only that path was trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet

SHAPE, CLASSES = (1, 8, 8), 3


def striped_images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """x (count, 1, 8, 8) in [0, 1] and y: stripes of one direction each, of any phase, under noise."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % CLASSES
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    directions = torch.stack([rows, columns, rows + columns])[y]
    phases = 4 * torch.rand(count, 1, 1, generator=draw)
    waves = 0.5 + 0.3 * torch.sin((directions + phases) * torch.pi / 2)
    noise = 0.15 * torch.randn(count, 8, 8, generator=draw)
    return (waves + noise).clamp(0, 1)[:, None], y


def supernet_of_one_path(
    space: SearchSpace, genotype: Genotype, steps: int = 20, partial_channels: int = 1
) -> Supernet:
    """A supernet whose weights were trained under a genotype's one-hot weights alone; the other operations are fresh.

    Args:
        space: the search space.
        genotype: the path.
        steps: of SGD, on 48 striped images each.
        partial_channels: of the supernet.
    """
    torch.manual_seed(0)
    supernet = space.supernet(SHAPE, CLASSES, cells=1 if space.name == "nasbench201" else 3, channels=4,
                              partial_channels=partial_channels)  # fmt: skip
    weights = space.one_hot(genotype)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9)
    for step in range(steps):
        x, y = striped_images(48, step)
        optimizer.zero_grad()
        F.cross_entropy(supernet(x, weights), y).backward()
        optimizer.step()
    return supernet
