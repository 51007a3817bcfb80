"""The likeliest cells, trained as candidates: together in one supernet, the best of them alone; the best one."""

from __future__ import annotations

from dataclasses import replace

from dsrna.errors import ConfigError
from dsrna.strategies.selection.base import (
    Candidate,
    ReportEpoch,
    Selected,
    Selection,
    TrainedSearch,
    by_merit,
)
from dsrna.strategies.selection.sampling import likeliest_cells


class Trained(Selection):
    """Trains the likeliest cells from new weights, as the weight steps do, and keeps the best.

    The operation weights say where to look, trained networks say what is best there: the operations of an edge often
    differ by a few per cent of weight, and the paths of a supernet that was trained as a mixture are no networks that
    were trained. First the candidates share a supernet, each step of which trains one of them (single-path one-shot;
    Guo et al.: *Single Path One-Shot Neural Architecture Search with Uniform Sampling*, ECCV 2020; here of a few likely
    cells, not of the space). Then the best of them are trained alone.

    Cells are ranked by the accuracy on images of the architecture steps, attacked ones if the objective has any, of
    equals by the loss. Mind that likely cells differ by about as much as one training scatters (measured in
    experiments/nb201_search); many images take away only what the images add to that.

    Cost: shared_epochs + finalists * epochs passes of a derived network at the search's size over the weight steps'
    images, and candidates + finalists scores.

    Args:
        candidates: how many cells, the argmax cell first, >= 1; fewer where the space has fewer.
        shared_epochs: of the supernet that they share, >= 0; 0 leaves that out, and the finalists are the likeliest.
        finalists: how many are trained alone, >= 0.
        epochs: of training each of them, >= 1.
        cells: of their networks, counted as ``search.cells`` is, >= 1; None for as many as the supernet has. What an
            operation is worth may show in deeper networks only: that of a skip connection, for one.
        images: that a score is of, >= 1; fewer where there are fewer.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        candidates: int = 40,
        shared_epochs: int = 12,
        finalists: int = 0,
        epochs: int = 3,
        cells: int | None = None,
        images: int = 5000,
    ) -> None:
        for name, value, least in (
            ("candidates", candidates, 1), ("shared_epochs", shared_epochs, 0), ("finalists", finalists, 0),
            ("epochs", epochs, 1), ("cells", 1 if cells is None else cells, 1), ("images", images, 1),
        ):  # fmt: skip
            if not least <= value <= 1_000_000:
                raise ConfigError(f"Expected `{name}` >= {least}, got {value}. (conf: selection.{name})")
        if shared_epochs == finalists == 0:
            raise ConfigError(
                "Expected `shared_epochs` or `finalists` above 0, got 0 of both: nothing would be trained, and "
                "`selection: argmax` is the same. (conf: selection.shared_epochs)"
            )
        self.candidates, self.shared_epochs = candidates, shared_epochs
        self.finalists, self.epochs, self.cells, self.images = finalists, epochs, cells, images

    def select(self, search: TrainedSearch) -> Selected:
        """See :class:`dsrna.strategies.selection.base.Selection`."""
        space = search.space
        argmax = space.derive(search.weights)
        others = likeliest_cells(
            space, search.weights, self.candidates - 1, search.generator("likeliest cells"), but=[argmax]
        )
        found = [Candidate(cell) for cell in (argmax, *others)]
        finalists = min(self.finalists, len(found))
        scored = len(found) if self.shared_epochs > 0 else 0
        total = self.shared_epochs + scored + finalists * (self.epochs + 1)

        def reporting(before: int) -> ReportEpoch:
            return lambda epochs, loss: search.report(before + epochs, total, {"loss": loss})

        if self.shared_epochs > 0:
            cells = [candidate.genotype for candidate in found]
            paths = search.together(cells, self.shared_epochs, self.images, reporting(0))
            for place, candidate in enumerate(found):
                score = paths.score_of(candidate.genotype)
                found[place] = replace(candidate, score=score)
                search.report(self.shared_epochs + place + 1, total, {"acc": score.objective_accuracy})
            found.sort(key=lambda candidate: by_merit(candidate.score))  # of equals the likelier
        for place, candidate in enumerate(found[:finalists]):
            before = self.shared_epochs + scored + place * (self.epochs + 1)
            score = search.alone(candidate.genotype, self.cells, self.epochs, self.images, reporting(before))
            found[place] = replace(candidate, alone=score)
            search.report(before + self.epochs + 1, total, {"acc": score.objective_accuracy})
        ranked = sorted(found[:finalists], key=lambda candidate: by_merit(candidate.alone)) + found[finalists:]
        return Selected(ranked[0].genotype, tuple(ranked))
