"""Rank correlations of scores with what was measured at the end, as tables and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from cells import CROWN_GRID
from scipy.stats import kendalltau, rankdata
from scores import FORMS, GRID

Row = Callable[[dict, float], float]
"""(scores of a network, the radius that is shared by all) -> the score that ranks it."""
RESAMPLES = 2000
OUTCOMES = [
    (training, name)
    for name in ("accuracy under PGD-20", "mean IBP radius", "mean CROWN-IBP radius")
    for training in ("standard", "adversarial")
]
DECISIVE = [outcome for outcome in OUTCOMES if outcome[1] != "mean IBP radius"]
"""What the choice of the default looks at: attacks, and the tighter of the two bounds."""


def nearest(grid: Sequence[float], eps: float) -> float:
    return min(grid, key=lambda each: abs(math.log(each / eps)))


def shared_eps(scores: list[dict]) -> float:
    """The radius of the grid that is nearest to the geometric mean of those that fit each network."""
    return nearest(GRID, math.exp(np.mean([math.log(each["eps"]) for each in scores])))


def rows(with_crown: bool) -> dict[str, Row]:
    def at(name: str, eps: float | None) -> Row:
        return lambda scores, shared: scores[f"ibp, {name}, {shared if eps is None else eps:g}"]

    def fitted(name: str) -> Row:
        return lambda scores, shared: scores[f"ibp, {name}, auto"]

    found: dict[str, Row] = {}
    for name in FORMS:
        found[f"{name}, at the shared eps"] = at(name, None)
        found[f"{name}, at the eps that fits each"] = fitted(name)
    found["margin, min, at eps 0.1"] = at("margin, min", 0.1)
    if with_crown:
        found["margin, min, of CROWN-IBP, at the shared eps"] = lambda scores, shared: scores[
            f"crown_ibp, margin, min, {nearest(CROWN_GRID, shared):g}"
        ]
    found["the eps that fits each itself"] = lambda scores, shared: scores["eps"]
    found["Jacobian norm"] = lambda scores, shared: scores["jacobian"]
    found["clean accuracy"] = lambda scores, shared: scores["clean accuracy"]
    return found


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Along the last axis; 0 where all ranks are alike."""
    a, b = (rankdata(each, axis=-1) for each in (a, b))
    a, b = (each - each.mean(axis=-1, keepdims=True) for each in (a, b))
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.divide((a * b).sum(axis=-1), scale, out=np.zeros_like(scale), where=scale > 0)


def resamples(count: int) -> np.ndarray:
    """(RESAMPLES, count) networks drawn with replacement; the same for all scores, so that differences pair."""
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def correlation(a: Sequence[float], b: Sequence[float]) -> str:
    """Spearman's rho with the middle 95 % of its bootstrap over networks, and Kendall's tau."""
    first, second = np.asarray(a), np.asarray(b)
    drawn = resamples(len(first))
    low, high = np.quantile(spearman(first[drawn], second[drawn]), [0.025, 0.975])
    tau = kendalltau(first, second).statistic
    return f"{spearman(first, second):.2f} [{low:.2f}, {high:.2f}] {0.0 if math.isnan(tau) else tau:.2f}"


def show(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table in Markdown, as it stands in the README."""
    print(f"\n{title}\n")
    for line in (columns, ["---"] * len(columns), *lines):
        print("| " + " | ".join(line) + " |")


def show_toys(records: list[dict]) -> None:
    depths = sorted({record["depth"] for record in records})
    groups = {f"depth {depth}": [r for r in records if r["depth"] == depth] for depth in depths} | {"all": records}
    shared = {name: shared_eps([record["scores"] for record in group]) for name, group in groups.items()}
    lines = []
    for name, row in rows(with_crown=False).items():
        if name != "clean accuracy":  # it is 1
            cells = [
                correlation([row(r["scores"], shared[key]) for r in group], [r["radius"] for r in group])
                for key, group in groups.items()
            ]
            lines.append([name, *cells])
    title = f"{len(records)} networks of known radius: rho [95 %] tau with the true radius"
    show(title, ["score", *(f"{name}, eps {shared[name]:g}" for name in groups)], lines)


def show_cells(records: list[dict]) -> None:
    lines = []
    for training, what in [(training, "clean accuracy") for training in ("standard", "adversarial")] + OUTCOMES:
        values = [record["final"][training][what] for record in records]
        lines.append([f"{what}, {training}", *(f"{np.quantile(values, q):.3g}" for q in (0, 0.5, 1))])
    show(f"What {len(records)} cells ended with", ["what", "least", "median", "greatest"], lines)
    for stage in records[0]["scores"]:
        show_stage(stage, records)
    show_choice(records)


def show_stage(stage: str, records: list[dict]) -> None:
    scores = [record["scores"][stage] for record in records]
    shared = shared_eps(scores)
    lines = [
        correlations(name, [row(each, shared) for each in scores], records)
        for name, row in rows(with_crown=True).items()
    ]
    lines.append(correlations("fewer parameters", [-record["parameters"] for record in records], records))
    title = f"{len(records)} cells scored at {stage}, shared eps {shared:g}: rho [95 %] tau"
    show(title, ["score", *(f"{what}, {training}" for training, what in OUTCOMES), "mean rho"], lines)


def correlations(name: str, values: list[float], records: list[dict]) -> list[str]:
    """A line: with every outcome, and the mean of the decisive ones."""

    def ends(outcome: tuple[str, str]) -> list[float]:
        training, what = outcome
        return [record["final"][training][what] for record in records]

    mean = np.mean([spearman(np.asarray(values), np.asarray(ends(outcome))) for outcome in DECISIVE])
    return [name, *(correlation(values, ends(outcome)) for outcome in OUTCOMES), f"{mean:.2f}"]


def show_choice(records: list[dict]) -> None:
    """What the default is chosen by: mean rho of the decisive outcomes over both stages."""
    drawn = np.concatenate([np.arange(len(records))[None], resamples(len(records))])  # first the cells as they are
    means = {}
    for name in FORMS:
        row, rhos = rows(with_crown=False)[f"{name}, at the shared eps"], []
        for stage in records[0]["scores"]:
            scores = [record["scores"][stage] for record in records]
            shared = shared_eps(scores)
            values = np.asarray([row(each, shared) for each in scores])
            for training, what in DECISIVE:
                ends = np.asarray([record["final"][training][what] for record in records])
                rhos.append(spearman(values[drawn], ends[drawn]))
        means[name] = np.mean(rhos, axis=0)
    first = means["margin, min"]
    lines = [[name, with_interval(mean), with_interval(mean - first)] for name, mean in means.items()]
    show("At the shared eps, mean rho over both stages", ["form", "mean rho [95 %]", "less that of margin, min"], lines)


def with_interval(values: np.ndarray) -> str:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:.2f} [{low:.2f}, {high:.2f}]"


def draw(records: list[dict], path: Path) -> None:
    """Spearman's rho against the radius that is shared, for every form, stage and decisive outcome."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    stages = list(records[0]["scores"])
    figure, axes = plt.subplots(
        len(stages), len(DECISIVE), figsize=(3.2 * len(DECISIVE), 2.8 * len(stages)), sharex=True, sharey=True
    )
    for stage, line in zip(stages, axes, strict=True):
        scores = [record["scores"][stage] for record in records]
        for (training, what), axis in zip(DECISIVE, line, strict=True):
            ends = np.asarray([record["final"][training][what] for record in records])
            for form in FORMS:
                values = np.asarray([[each[f"ibp, {form}, {eps:g}"] for each in scores] for eps in GRID])
                axis.plot(GRID, spearman(values, np.broadcast_to(ends, values.shape)), marker=".", label=form)
            axis.axvline(shared_eps(scores), color="grey", linewidth=0.8, linestyle=":")
            axis.axhline(0, color="grey", linewidth=0.8)
            axis.set_xscale("log")
            axis.set_ylim(-1, 1)
            axis.set_title(f"{what}\n({training} training)", fontsize=8)
        line[0].set_ylabel(f"Spearman's rho\nscored at {stage}", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("eps of the score", fontsize=8)
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
