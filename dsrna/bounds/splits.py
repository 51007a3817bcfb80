"""Cases of a network: for some of the ReLUs' inputs, on which side of 0 they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from dsrna.bounds.relu_node import ReluNode


class Cases(NamedTuple):
    """B cases of one image, each for the margin over one rival.

    U inputs of ReLUs may have either sign; a case has decided about some of them.

    Attributes:
        rival: (B,) which row of the margins.
        signs: (B, U), 1 where the input is >= 0 in this case, -1 where it's <= 0, 0 where nothing is decided.
        slopes: (B, U) in [0, 1], of the lower lines of ReLUs that aren't decided.
        multipliers: (B, U) >= 0, of what was decided.
        lower: (B,) lower bounds of the margin in this case.
    """

    rival: Tensor
    signs: Tensor
    slopes: Tensor
    multipliers: Tensor
    lower: Tensor

    def at(self, place: Tensor) -> Cases:
        """Some of the cases, by indices or flags."""
        return Cases(*(part[place] for part in self))

    @classmethod
    def joined(cls, parts: Sequence[Cases]) -> Cases:
        """All cases of several."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def split(self, unit: Tensor) -> Cases:
        """The 2 B cases that come of deciding one more input, ``unit`` (B,), first all of those that are >= 0."""
        halves = []
        for sign in (1, -1):
            signs = self.signs.scatter(1, unit[:, None], sign)
            halves.append(self._replace(signs=signs))
        return self.joined(halves)


class Splits:
    """The inputs of ReLUs that may have either sign, in one flat order, and how cases change their relaxation.

    Args:
        nodes: ReLUs of one image's relaxation, from the image on; their slopes are overwritten.
    """

    def __init__(self, nodes: Sequence[ReluNode]) -> None:
        self.nodes = [node for node in nodes if bool(node.unstable.any())]
        self._places = [node.unstable.flatten().nonzero()[:, 0] for node in self.nodes]
        self._lines = [(node.lower, node.upper, node.intercept) for node in self.nodes]
        self.counts = [len(place) for place in self._places]
        self.total = sum(self.counts)

    def items(self) -> Iterator[tuple[ReluNode, Tensor]]:
        """Each node, with the places of its inputs that may have either sign."""
        return zip(self.nodes, self._places, strict=True)

    @contextmanager
    def without_multipliers(self) -> Iterator[None]:
        """Inside, constraints don't enter."""
        before = [node.multiplier for node in self.nodes]
        for node in self.nodes:
            node.multiplier = None
        yield
        for node, multiplier in zip(self.nodes, before, strict=True):
            node.multiplier = multiplier

    def initial_slopes(self) -> Tensor:
        """(U,) those that the nodes came with."""
        return self._flat([lower for lower, _, _ in self._lines])

    def apply(self, signs: Tensor, slopes: Tensor, multipliers: Tensor) -> None:
        """Lets the nodes be relaxed for B cases, which are the rows that are substituted.

        A decided ReLU is a line, z or 0. Its input's sign s is a constraint s z >= 0, which enters with its multiplier
        b >= 0 as -b s z: where the constraint holds, the function only gets smaller.
        """
        decided = signs != 0
        active = (signs > 0).to(slopes.dtype)
        parts = (signs, decided, active, slopes, multipliers)
        for node, place, lines, *columns in zip(
            self.nodes, self._places, self._lines, *(part.split(self.counts, dim=1) for part in parts), strict=True
        ):
            sign, fixed, on, slope, multiplier = columns
            upper, intercept = (line.flatten()[place].expand_as(slope) for line in lines[1:])
            values = (
                torch.where(fixed, on, slope),
                torch.where(fixed, on, upper),
                torch.where(fixed, 0.0, intercept),
            )
            node.lower, node.upper, node.intercept = (
                _placed(line, place, value) for line, value in zip(lines, values, strict=True)
            )
            node.multiplier = _placed(torch.zeros_like(lines[0]), place, -sign * multiplier)

    def rows(self) -> Tensor:
        """(B, U) the rows over the ReLUs' outputs in the last substitution, of nodes that keep them."""
        kept = [node.kept_rows for node in self.nodes]
        assert all(rows is not None for rows in kept)
        return torch.cat(
            [rows.flatten(1)[:, place] for rows, place in zip(kept, self._places, strict=True) if rows is not None], 1
        )

    def keep_rows(self, keep: bool) -> None:
        """Whether nodes remember the rows of the last substitution."""
        for node in self.nodes:
            node.keeps_rows, node.kept_rows = keep, None

    def areas(self, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """How far below and above ReLU the lines get: (B, U) for slopes (B, U), and (U,)."""
        upper, intercept = (self._flat([lines[index] for lines in self._lines]) for index in (1, 2))
        low = -intercept / upper.clamp(min=torch.finfo(upper.dtype).tiny)
        high = intercept / (1 - upper).clamp(min=torch.finfo(upper.dtype).tiny)
        return torch.minimum(-low * slopes, high * (1 - slopes)), intercept

    def _flat(self, maps: Sequence[Tensor]) -> Tensor:
        if not maps:
            return torch.zeros(0)
        return torch.cat([values.flatten()[place] for values, place in zip(maps, self._places, strict=True)])


def _placed(like: Tensor, place: Tensor, values: Tensor) -> Tensor:
    """A map (1, ...) for each of B cases, with other values (B, U) in some places: (B, 1, ...)."""
    full = like.reshape(1, -1).expand(len(values), -1)
    return full.index_copy(1, place, values).view(len(values), *like.shape)
