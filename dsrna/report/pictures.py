"""All pictures of a run, in the order a reader wants them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsrna.report.architecture_plots import draw_architecture, draw_edges
from dsrna.report.cell_drawing import draw_cell
from dsrna.report.certified_plot import draw_certified
from dsrna.report.corruption_plot import draw_corruptions
from dsrna.report.evidence_plot import draw_random_cells
from dsrna.report.learning_curves import draw_search_curves, draw_training_curves
from dsrna.report.robustness_plot import draw_robustness
from dsrna.report.run_data import RunData
from dsrna.report.style import png
from dsrna.report.surface_plot import draw_surfaces

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_TITLES = {"normal": "Normal cell", "reduce": "Reduction cell"}


@dataclass(frozen=True)
class Picture:
    """One picture of the report.

    Attributes:
        name: file name in ``plots/``, without ``.png``.
        section: the part of the page it belongs to: ``results``, ``corruptions``, ``certified``,
            ``cells``, ``evidence``, ``search`` or ``training``.
        caption: what it shows and how to read it.
        width: width in inches.
        content: the PNG file.
    """

    name: str
    section: str
    caption: str
    width: float
    content: bytes


def draw_pictures(data: RunData) -> list[Picture]:
    """Every picture that the run has the numbers for."""
    return _drawn(draw_figures(data))


def draw_genotype(genotype: dict[str, Any]) -> list[Picture]:
    """A picture of each cell of a genotype, which comes as JSON."""
    return _drawn(_cells(genotype))


def _drawn(figures: Iterator[tuple[str, str, str, Figure | None]]) -> list[Picture]:
    return [
        Picture(name, section, caption, float(figure.get_size_inches()[0]), png(figure))
        for name, section, caption, figure in figures
        if figure is not None
    ]


def _cells(genotype: dict[str, Any]) -> Iterator[tuple[str, str, str, Figure | None]]:
    for cell, content in genotype["cells"].items():
        title = CELL_TITLES.get(cell, cell)
        yield f"cell_{cell}", "cells", f"{title} of the derived genotype.", draw_cell(content, title)


def draw_figures(data: RunData) -> Iterator[tuple[str, str, str, Figure | None]]:
    """(name, section, caption, figure) of every picture, in order; no figure where the run has no numbers for it."""
    if data.evaluation:
        yield (
            "robustness",
            "results",
            "Accuracy as the adversary gets stronger. The band is the 95 % confidence interval of each point.",
            draw_robustness(data.evaluation),
        )
        yield (
            "surface",
            "results",
            "How the margin of the first images changes as they are moved: to the right as the gradient says it falls, "
            "upwards in a random direction. Blue: still right; red: wrong. Where gradients can be trusted, it falls "
            "smoothly to the right and changes little upwards.",
            draw_surfaces(data.evaluation),
        )
        yield (
            "corruptions",
            "corruptions",
            "Share of images that are classified correctly, in per cent, under every corruption at every severity.",
            draw_corruptions(data.evaluation),
        )
        yield (
            "certified",
            "certified",
            "Images below the lower curve are proved to stay correct, those above the upper one are misclassified or "
            "were attacked successfully; what lies between is undecided. The truth is somewhere in the grey band.",
            draw_certified(data.evaluation),
        )
    if data.genotype:
        yield from _cells(data.genotype)
    if data.evidence:
        yield (
            "random_cells",
            "evidence",
            "The derived cell (line) among random cells (bars), all as paths of one supernet, on the same images.",
            draw_random_cells(data.evidence),
        )
    yield (
        "search",
        "search",
        "The supernet during the search. The two kinds of steps see different parts of the training images.",
        draw_search_curves(data),
    )
    if data.architecture and data.architecture["epochs"]:
        yield (
            "architecture",
            "search",
            "Top: how much weight each operation has, averaged over the edges, and how undecided the search is "
            "(entropy). Bottom: the operations of the genotype that would have been derived at each epoch.",
            draw_architecture(data.architecture),
        )
        for cell in data.architecture["cells"]:
            yield (
                f"alphas_{cell}",
                "search",
                f"{CELL_TITLES.get(cell, cell)}: operation weights of every edge over the epochs. Edges of the derived "
                "genotype are framed in the colour of their operation, the others are pale; "
                "a number is the weight of the edge.",
                draw_edges(data.architecture, cell),
            )
    yield (
        "training",
        "training",
        "Training of the derived network. Robust overfitting would show as a solid red line that falls while the "
        "dashed red line rises; the dotted line marks the epoch whose weights are kept.",
        draw_training_curves(data),
    )
