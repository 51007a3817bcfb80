"""Random architectures to look at."""

from __future__ import annotations

import torch

from dsrna.benchmarks.classes import representatives
from dsrna.errors import ConfigError
from dsrna.spaces.nasbench201.architecture_string import operations_of
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.topology import EDGES, NODES


def random_architectures(count: int, generator: torch.Generator) -> list[int]:
    """Published indices of ``count`` connected architectures, no two of them isomorphic.

    The first ones don't depend on how many are drawn.

    Raises:
        ConfigError: there aren't as many.
    """
    connected = [int(index) for index in representatives() if is_connected(int(index))]
    if not 1 <= count <= len(connected):
        raise ConfigError(
            f"Expected 1 to {len(connected)} architectures, as many as there are connected ones that aren't "
            f"isomorphic, got {count}. (conf: n)"
        )
    return [connected[place] for place in torch.randperm(len(connected), generator=generator)[:count].tolist()]


def is_connected(index: int) -> bool:
    """Whether the cell's output depends on its input; without, the logits are the same for every image.

    >>> is_connected(13433)
    True
    """
    reached = {0}
    for name, (source, target) in zip(operations_of(string_at(index)), EDGES, strict=True):
        if name != "none" and source in reached:
            reached.add(target)
    return NODES in reached
