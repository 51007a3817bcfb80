"""The likeliest cells, each trained alone for a while; the best one."""

from __future__ import annotations

from dsrna.errors import ConfigError
from dsrna.strategies.selection.base import Candidate, Selected, Selection, TrainedSearch, by_merit
from dsrna.strategies.selection.sampling import likeliest_cells


class Trained(Selection):
    """Trains the likeliest cells alone, from new weights, as the weight steps do, and keeps the best.

    The operation weights say where to look, networks of their own say what is best there: the operations of an edge
    often differ by a few per cent of weight, and the paths of a supernet that was trained as a mixture are no trained
    networks. A score is the accuracy on images of the architecture steps, under the attack of their objective where it
    has one, then the loss. All candidates start from the same seed and see the same batches.

    Cost: candidates * epochs passes of a derived network at the search's size over the weight steps' images.

    Args:
        candidates: how many cells, the argmax cell first, >= 1; fewer where the space has fewer.
        epochs: of training each, >= 1.
        images: that a score is of, >= 1; fewer where there are fewer.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, candidates: int = 12, epochs: int = 3, images: int = 5000) -> None:
        for name, value in (("candidates", candidates), ("epochs", epochs), ("images", images)):
            if not 1 <= value <= 1_000_000:
                raise ConfigError(f"Expected `{name}` >= 1, got {value}. (conf: selection.{name})")
        self.candidates, self.epochs, self.images = candidates, epochs, images

    def select(self, search: TrainedSearch) -> Selected:
        """See :class:`dsrna.strategies.selection.base.Selection`."""
        space = search.space
        argmax = space.derive(search.weights)
        others = likeliest_cells(
            space, search.weights, self.candidates - 1, search.generator("likeliest cells"), but=[argmax]
        )
        cells, found = [argmax, *others], []
        for cell in cells:
            score = search.alone(cell, self.epochs, self.images)
            found.append(Candidate(cell, alone=score))
            search.report(len(found), len(cells), {"acc": score.objective_accuracy})
        found.sort(key=lambda candidate: by_merit(candidate.alone))  # of equals the likelier
        return Selected(found[0].genotype, tuple(found))
