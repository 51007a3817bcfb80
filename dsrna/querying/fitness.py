"""What guides a search by queries: columns of tables, and proxies computed when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from dsrna.benchmarks.sampling import is_connected
from dsrna.query_searches.base import Fitness, Genes
from dsrna.query_searches.encoding import gene_space, genotype_of
from dsrna.querying.columns import Column
from dsrna.ranking.scoring import Scorer, one_thread
from dsrna.run_folder import RunFolder
from dsrna.spaces.nasbench201.index import isomorphs
from dsrna.spaces.nasbench201.space import Nasbench201Space


class ColumnValues:
    """Columns by genes instead of by published index; absent values are NaN."""

    def __init__(self) -> None:
        space = Nasbench201Space()
        every = list(product(*(range(count) for count in gene_space(space).choices)))
        self._indices = {genes: space.index(genotype_of(genes, space)) for genes in every}

    def index(self, genes: Genes) -> int:
        """The published index."""
        return self._indices[genes]

    def of(self, column: Column, genes: Sequence[Genes]) -> np.ndarray:
        """(N,) values."""
        return column.values[[self._indices[each] for each in genes]]

    def by_genes(self, column: Column) -> dict[Genes, float]:
        """The value of every architecture; -inf where there is none."""
        values = np.where(np.isnan(column.values), -math.inf, column.values).tolist()
        return {genes: values[index] for genes, index in self._indices.items()}


class ProxyValues:
    """A proxy's scores, computed once an architecture and kept in the run folder's ``scores.jsonl``.

    On nasbench201 isomorphic architectures share the score of the one that stands for them in the tables, and one
    whose output doesn't depend on its input, which no proxy can score, is worse than all others.

    Args:
        name: the proxy's.
        scorer: what scores; its only proxy is this one.
        folder: where scores are kept.
        scored: called after a score was computed.
    """

    def __init__(self, name: str, scorer: Scorer, folder: RunFolder, scored: Callable[[], None]) -> None:
        self._name, self._scorer, self._folder, self._scored = name, scorer, folder, scored
        self._known: dict[int | str, float] = {
            record["architecture"]: record["scores"][name]
            for record in folder.read_scores()
            if name in record["scores"]
        }

    def __call__(self, genes: Genes) -> float:
        """The score."""
        space = self._scorer.space
        key: int | str = genes_text(genes)
        genotype = genotype_of(genes, space)
        if isinstance(space, Nasbench201Space):
            key = int(isomorphs()[space.index(genotype)])
            if not is_connected(key):
                return -math.inf
            genotype = space.genotype(key)
        if key not in self._known:
            with one_thread():
                self._known[key] = self._scorer.scores_of(genotype, key)[self._name]
            self._folder.append_scores({"architecture": key, "scores": {self._name: self._known[key]}})
            self._scored()
        return self._known[key]


def genes_text(genes: Genes) -> str:
    """Genes as a short text."""
    return ".".join(map(str, genes))


def fitness_of(names: Sequence[str], values: Mapping[str, Callable[[Genes], float]]) -> Callable[[Genes], Fitness]:
    """The values of several names as one fitness."""
    chosen = [values[name] for name in names]
    return lambda genes: tuple(value(genes) for value in chosen)
