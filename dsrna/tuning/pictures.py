"""The pictures of a study: trial by trial, setting by setting, what matters, and the front of two objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsrna.report.style import ADVERSARIAL, CLEAN, INK, MUTED, add_legend, log_decades, new_figure, tidy, whole_numbers
from dsrna.tuning.result import StudyDocument, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DECADES = 50
"""Values that lie so many times apart are drawn by their logarithm."""


def ended(study: StudyDocument) -> list[TrialRecord]:
    """The trials that were measured."""
    return [trial for trial in study["trials"] if trial["values"] is not None]


def parameters_of(study: StudyDocument) -> list[str]:
    """The settings that were tuned, those that matter most for the first objective first."""
    names = dict.fromkeys(name for trial in study["trials"] for name in trial["parameters"])
    weights = study["importances"][0] if study["importances"] else {}
    return sorted(names, key=lambda name: -weights.get(name, 0.0))


def draw_history(study: StudyDocument) -> Figure:
    """The first objective of every trial, and the best so far; crosses are pruned trials, where they stopped."""
    figure = new_figure(7.6, 3.2)
    axes = figure.subplots()
    done = ended(study)
    numbers, values = [trial["number"] for trial in done], [trial["values"][0] for trial in done if trial["values"]]
    axes.scatter(numbers, values, s=18, color=CLEAN, label="trial")
    axes.step(numbers, np.maximum.accumulate(values), where="post", color=INK, linewidth=1, label="best so far")
    pruned = [trial for trial in study["trials"] if trial["state"] == "pruned" and trial["epochs"]]
    if pruned:
        last = [list(trial["epochs"].values())[-1] for trial in pruned]
        axes.scatter(
            [trial["number"] for trial in pruned], last, s=18, marker="x", color=ADVERSARIAL, label="pruned there"
        )
    add_legend(axes)
    whole_numbers(axes)
    tidy(axes, x="trial", y=study["objectives"][0])
    return figure


def draw_settings(study: StudyDocument) -> Figure:
    """The first objective against each setting that was tuned."""
    names = parameters_of(study)
    figure = new_figure(7.6, 2.6 * -(-len(names) // 2))
    every = np.atleast_1d(figure.subplots(-(-len(names) // 2), min(2, len(names)), squeeze=False)).flatten()
    best = set(study["best"])
    for axes, name in zip(every, names, strict=False):
        for trial in ended(study):
            if name in trial["parameters"] and trial["values"]:
                colour = ADVERSARIAL if trial["number"] in best else CLEAN
                axes.scatter([_shown(trial["parameters"][name])], [trial["values"][0]], s=18, color=colour)
        _scale(axes, [trial["parameters"][name] for trial in ended(study) if name in trial["parameters"]])
        tidy(axes, x=name, y=study["objectives"][0])
    for axes in every[len(names) :]:
        axes.set_visible(False)
    return figure


def draw_importances(study: StudyDocument) -> Figure:
    """The share of each setting in the variance of each objective."""
    names = parameters_of(study)[::-1]
    figure = new_figure(7.6, 1.0 + 0.3 * len(names) * len(study["objectives"]))
    axes = figure.subplots()
    height = 0.8 / len(study["objectives"])
    for place, (objective, found) in enumerate(zip(study["objectives"], study["importances"], strict=True)):
        where = np.arange(len(names)) - 0.4 + height * (place + 0.5)
        colour = (CLEAN, ADVERSARIAL, MUTED, INK)[place % 4]
        axes.barh(where, [found.get(name, 0.0) for name in names], height=height, color=colour, label=objective)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(study["objectives"]) > 1:
        axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # beside the bars
    tidy(axes, x="share of the variance that it explains")
    return figure


def draw_front(study: StudyDocument) -> Figure:
    """The first two objectives of every trial; those that no other one beats are joined."""
    figure = new_figure(5.0, 4.0)
    axes = figure.subplots()
    values = {trial["number"]: trial["values"] for trial in ended(study) if trial["values"]}
    axes.scatter([each[0] for each in values.values()], [each[1] for each in values.values()], s=18, color=CLEAN)
    points = sorted(values[number] for number in study["best"])
    axes.plot(*zip(*(each[:2] for each in points), strict=True), marker="o", color=ADVERSARIAL, linewidth=1)
    tidy(axes, x=study["objectives"][0], y=study["objectives"][1])
    return figure


def _shown(value: Any) -> Any:
    return value if isinstance(value, float | int) and not isinstance(value, bool) else str(value)


def _scale(axes: Axes, values: list[Any]) -> None:
    numbers = [value for value in values if isinstance(value, float | int) and not isinstance(value, bool)]
    if len(numbers) == len(values) > 0 and min(numbers) > 0 and max(numbers) / min(numbers) > _DECADES:
        log_decades(axes)
