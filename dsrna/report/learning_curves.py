"""Loss and accuracy over epochs, of the search and of the networks trained after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsrna.report.run_data import RunData
from dsrna.report.style import (
    ADVERSARIAL,
    CERTIFIED,
    CLEAN,
    INK,
    MUTED,
    add_legend,
    new_figure,
    percent_axis,
    tidy,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINED = {"retrain": "retrained network", "certified": "certified training", "baseline": "standard training"}


def draw_search_curves(data: RunData) -> Figure | None:
    """Loss, accuracy and robustness score of the supernet; None when no search was logged."""
    panels = [
        ("loss", [("search/train/loss", "weight steps"), ("search/val/loss", "architecture steps")]),
        ("accuracy", [("search/train/acc", "weight steps"), ("search/val/acc", "architecture steps")]),
        ("robustness score R", [("search/val/score", "architecture steps")]),
    ]
    panels = [(title, keys) for title, keys in panels if any(data.curve(key)[0] for key, _ in keys)]
    if not panels:
        return None
    figure = new_figure(3.3 * len(panels), 2.9)
    for axes, (title, keys) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for key, label in keys:
            is_train = "/train/" in key
            _plot(axes, data.curve(key), CLEAN if is_train else INK, dashed=is_train, label=label)
        tidy(axes, title=title, x="epoch", y="higher is better" if title.startswith("robustness") else "")
        if title == "accuracy":
            percent_axis(axes)
        whole_numbers(axes)
        add_legend(axes)
    return figure


def draw_training_curves(data: RunData) -> Figure | None:
    """Accuracy and loss of the trained networks, one row a network; None when none was trained.

    Clean and adversarial accuracy on training (dashed) and validation images: robust overfitting shows as a red solid
    line that falls while the red dashed one rises. The dotted line marks the epoch whose weights are kept.
    """
    stages = [stage for stage in TRAINED if any(data.curve(f"{stage}/{key}")[0] for key in ("val/acc", "train/acc"))]
    if not stages:
        return None
    figure = new_figure(9.6, 3.1 * len(stages))
    grid = figure.subplots(len(stages), 2, squeeze=False, width_ratios=(1.35, 1))
    evaluated = data.evaluation["networks"] if data.evaluation else {}
    for (accuracy, loss), stage in zip(grid, stages, strict=True):
        title = evaluated[stage]["title"] if stage in evaluated else TRAINED[stage]
        for key, colour, label in (
            ("train/acc", CLEAN, "clean, training"),
            ("val/acc", CLEAN, "clean, validation"),
            ("train/acc_adv", ADVERSARIAL, "adversarial, training"),
            ("val/acc_adv", ADVERSARIAL, "adversarial, validation"),
            ("val/acc_certified", CERTIFIED, "certified, validation"),
        ):
            _plot(accuracy, data.curve(f"{stage}/{key}"), colour, dashed=key.startswith("train"), label=label)
        tidy(accuracy, title=f"{title}: accuracy", x="epoch")
        percent_axis(accuracy)
        for key, label in (("train/loss", "training"), ("val/loss", "validation")):
            _plot(loss, data.curve(f"{stage}/{key}"), INK, dashed=key.startswith("train"), label=label)
        tidy(loss, title=f"{title}: loss", x="epoch")
        loss.set_ylim(bottom=0)
        kept = kept_epoch(data, stage)
        for axes in (accuracy, loss):
            if kept is not None:
                axes.axvline(kept, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.3, label=f"weights kept ({kept})")
            whole_numbers(axes)
            add_legend(axes)
    return figure


def kept_epoch(data: RunData, stage: str) -> int | None:
    """The epoch whose weights were evaluated, else the one whose weights are on disk; None where it was not noted."""
    evaluated = data.evaluation["networks"] if data.evaluation else {}
    if evaluated.get(stage, {}).get("epoch") is not None:
        return int(evaluated[stage]["epoch"])
    epochs, kept = data.curve(f"{stage}/kept")
    return max((epoch for epoch, was_kept in zip(epochs, kept, strict=True) if was_kept), default=None)


def _plot(axes: Axes, curve: tuple[Sequence[int], Sequence[float]], colour: str, *, dashed: bool, label: str) -> None:
    epochs, values = curve
    if epochs:
        axes.plot(
            epochs,
            values,
            color=colour,
            linestyle="--" if dashed else "-",
            linewidth=1.3 if dashed else 2.0,
            marker="o" if len(epochs) == 1 else "",
            label=label,
        )
