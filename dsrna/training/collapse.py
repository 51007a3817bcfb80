"""Whether a search collapses to a network that doesn't look at its images, said while it still runs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace

SMALLEST_SPREAD = 0.01
"""Below this the logits hardly depend on the image. A choice, not measured."""


def logits_spread(logits: Tensor) -> Tensor:
    """How much of the logits is due to the image, in [0, 1]: their spread over the images in units of their size.

    sqrt(sum_n |c_n - mean c|^2 / sum_n |c_n|^2), with c_n the logits of image n without their mean over the classes. 0
    where every image gets the same answer, near 1 where answers have nothing in common.

    Args:
        logits: (N, K).

    >>> logits_spread(torch.tensor([[2.0, 0.0], [2.0, 0.0]])), logits_spread(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    (tensor(0.), tensor(1.))
    """
    centred = logits - logits.mean(dim=1, keepdim=True)
    size = centred.square().sum()
    spread = (centred - centred.mean(dim=0)).square().sum()
    return torch.where(size > 0, spread / size.masked_fill(size == 0, 1), 0.0).sqrt()


def cut_off_cells(space: SearchSpace, genotype: Genotype) -> list[str]:
    """The cell types whose output doesn't depend on their input, as operations `none` lie on every way."""
    found = []
    for cell_type, cell in genotype.cells.items():
        inputs = min(target for _, target in space.edges(cell_type))
        reached = set(range(inputs))
        for index, node in enumerate(cell.nodes, start=inputs):
            if any(operation != "none" and source in reached for operation, source in node):
                reached.add(index)
        if not reached.intersection(cell.concat):
            found.append(cell_type)
    return found


class CollapseWatch:
    """Looks at each epoch of a search and says when it begins to collapse.

    A cell that is cut off from its input, logits that hardly depend on the image, and accuracy that has fallen back to
    chance are signs of it: penalties on sensitivity are paid in full by such networks.

    Args:
        space: the search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._was_above_chance, self._collapsing = False, False

    def look(self, genotype: Genotype, spread: float, accuracy: float, images: int, classes: int) -> tuple[bool, str]:
        """Whether the search is collapsing, and a warning where it has begun to in this epoch, else an empty text.

        Args:
            genotype: what would be derived now.
            spread: :func:`logits_spread` of the supernet on validation images.
            accuracy: on them, in [0, 1].
            images: how many of them there are.
            classes: K.
        """
        chance = 1 / classes
        above_chance = accuracy > chance + 2 * math.sqrt(chance * (1 - chance) / images)
        signs = [f"the derived {cell_type} cell lets nothing of its input through"
                 for cell_type in cut_off_cells(self._space, genotype)]  # fmt: skip
        if spread < SMALLEST_SPREAD:
            signs.append(f"the supernet's logits hardly depend on the image (spread {spread:.2g} of their size)")
        if self._was_above_chance and not above_chance:
            signs.append(f"validation accuracy has fallen back to chance ({accuracy:.1%})")
        self._was_above_chance = self._was_above_chance or above_chance
        began, self._collapsing = bool(signs) and not self._collapsing, bool(signs)
        if not began:
            return self._collapsing, ""
        return True, (
            f"The search is collapsing to a network that ignores its input: {'; '.join(signs)}. What it derives from "
            "here on is of no use. A smaller metric.weight, an objective on attacked images in place of a penalty, or "
            "metric_join=multiplier may keep it from that."
        )

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"was_above_chance": self._was_above_chance, "collapsing": self._collapsing}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state` gave."""
        self._was_above_chance, self._collapsing = state["was_above_chance"], state["collapsing"]
