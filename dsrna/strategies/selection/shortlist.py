"""The best of some cells drawn from the operation weights, as paths of the supernet."""

from __future__ import annotations

from dataclasses import replace

from dsrna.errors import ConfigError
from dsrna.strategies.selection.base import Candidate, Selected, Selection, TrainedSearch, by_merit
from dsrna.strategies.selection.sampling import distinct_cells


class Shortlist(Selection):
    """Scores the argmax cell and others drawn from the expected operation weights, fine-tunes the best, keeps the best.

    A score is the accuracy on the images of the architecture steps, under the attack of their objective where it has
    one, then the loss. Not the loss first: a path's logits are of any scale, so that a cell which all but ignores its
    input may lose least. Fine-tuning works on copies. Cost: candidates * a pass over a few hundred images, and
    finalists * steps weight steps of a derived network.

    Args:
        candidates: how many cells, the argmax cell first, >= 1; fewer where the space has fewer.
        finalists: how many of them are fine-tuned, >= 0.
        steps: of fine-tuning, >= 0.
        learning_rate: of fine-tuning, > 0.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, candidates: int = 16, finalists: int = 3, steps: int = 50, learning_rate: float = 0.01) -> None:
        for name, value, least in (("candidates", candidates, 1), ("finalists", finalists, 0), ("steps", steps, 0)):
            if not least <= value <= 1_000_000:
                raise ConfigError(f"Expected `{name}` >= {least}, got {value}. (conf: selection.{name})")
        if not 0 < learning_rate < float("inf"):
            raise ConfigError(f"Expected `learning_rate` > 0, got {learning_rate}. (conf: selection.learning_rate)")
        self.candidates, self.finalists = candidates, finalists
        self.steps, self.learning_rate = steps, learning_rate

    def select(self, search: TrainedSearch) -> Selected:
        """See :class:`dsrna.strategies.selection.base.Selection`."""
        space, paths = search.space, search.paths()
        argmax = space.derive(search.weights)
        drawn = distinct_cells(space, search.weights, self.candidates - 1, search.generator("shortlist"), but=[argmax])
        cells = [argmax, *drawn]
        total = len(cells) + min(self.finalists, len(cells))
        found = []
        for cell in cells:
            score = paths.score_of(cell)
            found.append(Candidate(cell, score))
            search.report(len(found), total, {"acc": score.objective_accuracy})
        found.sort(key=lambda candidate: by_merit(candidate.score))  # of equals the earlier
        tuned = []
        for place, candidate in enumerate(found[: self.finalists]):
            network = paths.network(candidate.genotype)
            search.tune(network, self.steps, self.learning_rate, f"shortlist {place}")
            tuned.append(replace(candidate, tuned=paths.score(network)))
            search.report(len(found) + len(tuned), total, {"acc": tuned[-1].tuned.objective_accuracy})  # type: ignore[union-attr]
        tuned.sort(key=lambda candidate: by_merit(candidate.tuned or candidate.score))
        ranked = (*tuned, *found[len(tuned) :])
        return Selected(ranked[0].genotype, ranked)
