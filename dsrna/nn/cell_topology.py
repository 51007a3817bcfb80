"""The inside of a cell as a value: its nodes, its edges, what may stand on them, and what it gives out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dsrna.errors import ConfigError

Ends = tuple[tuple[int, int], ...]
Output = Literal["all", "last"]


@dataclass(frozen=True)
class CellTopology:
    """Input nodes, then nodes that add up what comes in over their edges.

    Attributes:
        inputs: number of input nodes: 1, the output of the cell before, or 2, those of the two cells before.
        nodes: number of further nodes, >= 1; they are counted after the inputs.
        primitives: names of the operations, in the order of operation weights.
        kept: how many of its incoming edges a node of a derived cell keeps, each with an operation other than none;
            None: all of them, none included.
        output: the cell's output: "all" concatenates the further nodes, "last" is the last one.
        ends: (source, target) of each edge, by ascending target, then source; empty for one from every earlier node.
        operations: for every edge the primitives that it may have; empty for all of them.
        free: whether a derived cell may also have what is found in publications alone: any number of nodes, and nodes
            of any number of operations, several of them on one input and none among them.

    Raises:
        ConfigError: a number is out of range, or the edges or their operations don't fit.

    >>> CellTopology(2, 2, ("none", "skip_connect"), 2).ends
    ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    """

    inputs: int
    nodes: int
    primitives: tuple[str, ...]
    kept: int | None = None
    output: Output = "all"
    ends: Ends = ()
    operations: tuple[tuple[str, ...], ...] = ()
    free: bool = False

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise ConfigError(f"Expected `nodes` >= 1, got {self.nodes}. (conf: nodes)")
        if self.inputs not in (1, 2):
            raise ConfigError(f"Expected `inputs` of 1 or 2, got {self.inputs}. (conf: inputs)")
        if self.kept is not None and self.kept < 1:
            raise ConfigError(f"Expected `kept` >= 1, or null for all edges, got {self.kept}. (conf: kept)")
        if self.output not in ("all", "last"):
            raise ConfigError(f"Expected `output` to be 'all' or 'last', got {self.output!r}. (conf: output)")
        if len(set(self.primitives)) != len(self.primitives) or not self.choices:
            raise ConfigError(
                f"Expected `primitives` without repeats and with an operation other than none, got {self.primitives}."
            )
        targets = range(self.inputs, self.inputs + self.nodes)
        complete = tuple((source, target) for target in targets for source in range(target))
        object.__setattr__(self, "ends", self.ends or complete)
        in_order = list(self.ends) == [edge for edge in complete if edge in self.ends]
        if not in_order or {target for _, target in self.ends} != set(targets):
            raise ConfigError(
                f"Expected `ends` of edges from earlier to later nodes, by ascending target, then source, with an edge "
                f"to each of the nodes {targets[0]} to {targets[-1]}, got {self.ends}. (conf: ends)"
            )
        object.__setattr__(self, "operations", self.operations or (self.primitives,) * len(self.ends))
        usable = all(set(names) <= set(self.primitives) and set(names) & set(self.choices) for names in self.operations)
        if len(self.operations) != len(self.ends) or not usable:
            raise ConfigError(
                f"Expected `operations` of primitives, with one other than none, for each of {len(self.ends)} edges, "
                f"got {self.operations}. (conf: operations)"
            )

    @property
    def choices(self) -> tuple[str, ...]:
        """The primitives that a derived cell may have: without ``none``, where an edge can be left out instead."""
        return tuple(name for name in self.primitives if name != "none" or self.kept is None)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The nodes that a supernet's cell gives out."""
        last = self.inputs + self.nodes
        return tuple(range(self.inputs, last)) if self.output == "all" else (last - 1,)

    def entering(self, node: int) -> list[int]:
        """The edges that enter a node."""
        return [edge for edge, (_, target) in enumerate(self.ends) if target == node]

    def stride(self, source: int, reduction: bool) -> int:
        """Stride of an edge that leaves node ``source``: 2 behind the inputs of a reduction cell, else 1."""
        return 2 if reduction and source < self.inputs else 1
