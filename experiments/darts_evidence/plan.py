"""What is searched and trained: recipes of a search, the cells that come of them, and random cells of their size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

RECIPES = {
    "darts_evidence": {
        "robust": [
            "strategy=darts",
            "regulariser=[beta_decay]",
            "objective@search.weights_objective=fast",
            "objective@search.architecture_objective=fast",
        ],
        "none": ["strategy=darts", "regulariser=[beta_decay]"],
        "jacobian": ["strategy=pcdarts", "metric=jacobian"],
    },
    "certified_evidence": {
        "margin": ["metric=certified", "metric.weight=1"],
        "lowered": ["metric=certified", "metric._target_=certified_forms.Lowered", "metric.weight=1"],
        "tightness": ["metric=certified", "metric._target_=certified_forms.Tightness", "metric.weight=1"],
        "ibp": [
            "objective@search.weights_objective=ibp",
            "objective@search.architecture_objective=ibp",
            "search.weights_objective.eps_factor=0.04",
            "search.weights_objective.kappa_end=0.5",
            "search.architecture_objective.eps_factor=0.04",
            "search.architecture_objective.kappa_end=0.5",
        ],
        "none": [],
    },
}
"""Experiment (``conf/experiment``) -> recipe -> overrides of its searches.

Of ``darts_evidence``: ours, the same without its robust part, and DSRNA's Jacobian norm as published. Of
``certified_evidence``: the certified bound raised, lowered, and judged by its tightness alone; weights and alphas
trained on intervals, within .002, beyond
which the supernet's bounds leave nothing to learn from; and no metric.
"""

RANDOM = "random"


@dataclass(frozen=True)
class Search:
    recipe: str
    seed: int
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.recipe}_s{self.seed}"


@dataclass(frozen=True)
class Training:
    """Of the cell that a search ended in, or, where ``random`` is a number, of that random cell of its size."""

    search: Search
    random: int | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.cell}_t{self.seed}"

    @property
    def cell(self) -> str:
        return self.search.name if self.random is None else f"{RANDOM}{self.random}_of_{self.search.name}"

    @property
    def recipe(self) -> str:
        return self.search.recipe if self.random is None else RANDOM


Task = Search | Training


def plan(recipes: Mapping[str, Sequence[str]], searches: int, random_cells: int, trainings: int) -> Iterator[Task]:
    """All tasks, in an order in which what is there at any moment says as much as it can.

    The first training of everything comes before any second one, the first seed of every recipe before any second one.
    Random cells go with one search after the other, so that each can be drawn as soon as its search has ended.
    """
    every = [
        Search(recipe, seed, tuple(overrides))
        for seed, (recipe, overrides) in product(range(searches), recipes.items())
    ]
    drawn = [(every[number % len(every)], number // len(every)) for number in range(random_cells)]
    for training_seed, search_seed in product(range(trainings), range(searches)):
        of_seed = [search for search in every if search.seed == search_seed]
        if training_seed == 0:
            yield from of_seed
        yield from (Training(search, None, training_seed) for search in of_seed)
        yield from (Training(search, number, training_seed) for search, number in drawn if search in of_seed)
