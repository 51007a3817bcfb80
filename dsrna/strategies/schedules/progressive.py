"""A search in stages, with fewer operations and perhaps another supernet in each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.strategies.alphas import AlphaArchitecture, alphas_of
from dsrna.strategies.architecture import Architecture
from dsrna.strategies.operation_counts import SKIP, operation_counts
from dsrna.strategies.schedules.base import MakeSupernet, RunningSearch, SearchSchedule
from dsrna.types import CellWeights


class Progressive(SearchSchedule):
    """At given moments of a search, keeps the best operations of every edge, and may go on in another supernet.

    A stage that changes the cells or the partial channels starts from new network weights, with the optimiser's state
    cleared; the schedule of the learning rate goes on, as do the alphas unless they restart.

    Args:
        at: shares of the search's epochs at which the stages after the first begin, ascending in (0, 1).
        operations: how many of each edge's are kept in each of these stages, falling; the best by expected weight.
        cells: of the supernet in each of these stages; None leaves it as it is.
        partial_channels: likewise.
        warmup: share of each of these stages' epochs at its beginning that is without architecture steps, in [0, 1).
        restart_alphas: whether these stages begin with the alphas and betas that the search began with.
        skips: most skip connections in the cell of the space's first type that is derived in the end: of more, the
            weakest are dropped; None for any number.

    Raises:
        ConfigError: a value is out of range, or the lists differ in length.

    Source: Chen et al., P-DARTS (ICCV 2019); Chen et al., DrNAS (ICLR 2021), section 3.4. Differ: P-DARTS restarts the
    learning rate in each stage, and doesn't raise the weights of an edge's other operations when it drops a skip
    connection; DrNAS takes over the network weights when it widens the operations' channels.
    """

    def __init__(
        self,
        at: list[float],
        operations: list[int],
        cells: list[int] | None = None,
        partial_channels: list[int] | None = None,
        warmup: float = 0.0,
        restart_alphas: bool = False,
        skips: int | None = None,
    ) -> None:
        if not at or sorted(set(at)) != at or not 0 < at[0] <= at[-1] < 1:
            raise ConfigError(f"Expected ascending shares in (0, 1), got {at}. (conf: at)")
        for name, values in (("operations", operations), ("cells", cells), ("partial_channels", partial_channels)):
            if values is not None and (len(values) != len(at) or min(values) < 1):
                raise ConfigError(f"Expected {len(at)} numbers >= 1, as many as in `at`, got {values}. (conf: {name})")
        if sorted(set(operations), reverse=True) != operations:
            raise ConfigError(f"Expected fewer operations from stage to stage, got {operations}. (conf: operations)")
        if not 0 <= warmup < 1:
            raise ConfigError(f"Expected `warmup` in [0, 1), got {warmup}. (conf: warmup)")
        if skips is not None and skips < 0:
            raise ConfigError(f"Expected `skips` >= 0, got {skips}. (conf: skips)")
        self.at, self.operations, self.cells, self.partial_channels = at, operations, cells, partial_channels
        self.warmup, self.restart_alphas, self.skips = warmup, restart_alphas, skips
        self._stage = 0
        self._first: dict[str, Tensor] = {}  # the alphas that the search began with, where they restart

    def check(self, space: SearchSpace, architecture: Architecture, warmup: int, epochs: int) -> None:
        """See :class:`SearchSchedule`."""
        alphas_of(architecture, "progressive")
        if self.operations[0] >= len(space.primitives):
            raise ConfigError(
                f"Expected fewer than the space's {len(space.primitives)} operations, got {self.operations[0]}. "
                "(conf: operations)"
            )
        if self.operations[-1] == 1 and "none" in space.primitives and not _derives_none(space):
            raise ConfigError(
                "The one operation that is kept may be none, which no derived cell of this space has: keep two. "
                "(conf: operations)"
            )
        begins = [warmup, *self._begins(epochs)]
        if any(later <= earlier for earlier, later in zip(begins, [*begins[1:], epochs], strict=True)):
            raise ConfigError(
                f"Expected every stage to have epochs with architecture steps: of {epochs} epochs, the warm-up takes "
                f"{warmup}, and the later stages begin after {begins[1:]}. (conf: at)"
            )

    def prepare(self, make_supernet: MakeSupernet) -> None:
        """See :class:`SearchSchedule`."""
        for stage in range(len(self.at)):
            if self._sizes(stage) != {}:
                make_supernet(stage + 1, **self._sizes(stage))

    def pauses(self, epoch: int, epochs: int) -> bool:
        """See :class:`SearchSchedule`."""
        stages = pairwise([*self._begins(epochs), epochs])
        return any(begin <= epoch < begin + int(self.warmup * (end - begin)) for begin, end in stages)

    def begin_epoch(self, search: RunningSearch) -> None:
        """See :class:`SearchSchedule`."""
        if self.restart_alphas and not self._first:
            state = {name: value.detach().cpu().clone() for name, value in search.architecture.named_parameters()}
            self._first = state
        begins = self._begins(search.epochs)
        while self._stage < len(begins) and search.epoch >= begins[self._stage]:
            self._begin_stage(search)
            self._stage += 1

    def _begin_stage(self, search: RunningSearch) -> None:
        architecture = alphas_of(search.architecture, "progressive")
        count = self.operations[self._stage]
        kept = best_operations(architecture, count)
        if self.restart_alphas:
            search.set_alphas(self._first)
        architecture.keep(kept)
        search.note(f"Stage {self._stage + 2} begins: {count} operations of every edge are kept.")
        if sizes := self._sizes(self._stage):
            search.replace_supernet(self._stage + 1, **sizes)

    def end_epoch(self, search: RunningSearch, searching: bool) -> Mapping[str, float]:
        """See :class:`SearchSchedule`."""
        if self.skips is not None and search.ending:
            self._limit_skips(search, self.skips)
        return {}

    def _limit_skips(self, search: RunningSearch, most: int) -> None:
        architecture, cell_type = alphas_of(search.architecture, "progressive"), search.space.cell_types[0]
        while operation_counts(search.genotype())[cell_type].get(SKIP, 0) > most:
            edge = weakest_skip(search)
            kept = architecture.kept(cell_type).clone()
            if edge is None:
                search.note(f"More than {most} skip connections are left: their edges have no other operation.")
                return
            kept[edge, search.space.primitives.index(SKIP)] = False
            architecture.keep({cell_type: kept})
            source, target = search.space.edges(cell_type)[edge]
            search.note(f"The skip connection {source}-{target} of the {cell_type} cell is dropped, above {most}.")

    def _begins(self, epochs: int) -> list[int]:
        return [round(share * epochs) for share in self.at]

    def _sizes(self, stage: int) -> dict[str, int]:
        lists = {"cells": self.cells, "partial_channels": self.partial_channels}
        return {name: values[stage] for name, values in lists.items() if values is not None}

    def state(self) -> dict[str, Any]:
        """See :class:`SearchSchedule`."""
        return {"stage": self._stage, "first": self._first}

    def load_state(self, state: dict[str, Any], supernet: Supernet) -> None:
        """See :class:`SearchSchedule`."""
        self._stage, self._first = state["stage"], state["first"]


def best_operations(architecture: AlphaArchitecture, count: int) -> dict[str, Tensor]:
    """Cell type -> (E, O) bool: on each edge the ``count`` operations of the largest expected weights."""
    kept = {}
    for cell_type, cell in architecture.expected().items():
        weights = cell.operations.detach().masked_fill(~architecture.kept(cell_type), -1.0)
        best = weights.topk(count, dim=1).indices
        kept[cell_type] = torch.zeros_like(weights, dtype=torch.bool).scatter(1, best, True)
    return kept


def weakest_skip(search: RunningSearch) -> int | None:
    """The edge of the first cell type whose derived skip connection weighs least, where it has another operation."""
    space, cell_type = search.space, search.space.cell_types[0]
    architecture = alphas_of(search.architecture, "progressive")
    cell, kept = architecture.expected()[cell_type], architecture.kept(cell_type)
    targets = sorted({target for _, target in space.edges(cell_type)})
    usable = [name != "none" or _derives_none(space) for name in space.primitives]
    found = []
    rows = cell.operations[:, space.primitives.index(SKIP)].detach()
    strengths = (rows if cell.edges is None else rows * cell.edges.detach()).tolist()
    for target, node in zip(targets, search.genotype().cells[cell_type].nodes, strict=True):
        for operation, source in node:
            edge = space.edges(cell_type).index((source, target))
            others = kept[edge].cpu() & torch.tensor(usable)
            if operation == SKIP and int(others.sum()) > 1:
                found.append((strengths[edge], edge))
    return min(found)[1] if found else None


def _derives_none(space: SearchSpace) -> bool:
    """Whether derived cells may have the operation none."""
    only = torch.tensor([float(name == "none") for name in space.primitives])
    weights = {name: CellWeights(only.expand(shape)) for name, shape in space.weight_shapes().items()}
    return any("none" in counts for counts in operation_counts(space.derive(weights)).values())
