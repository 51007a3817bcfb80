"""What the papers say of their tables, beside what the tables themselves say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dsrna.benchmarks.analysis import kendall_correlations, rank_correlations
from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.table_analysis import TableAnalysis

_WU, _JUNG = "Wu et al. 2024", "Jung et al. 2023"
_BEST_AFTER_ADVERSARIAL_TRAINING = {
    "cifar10": {"clean": 0.7956, "fgsm 3/255": 0.6973, "fgsm 8/255": 0.5351, "pgd 3/255": 0.6924, "pgd 8/255": 0.4811,
                "autoattack": 0.4438},
    "cifar100": {"clean": 0.5046, "fgsm 3/255": 0.4058, "fgsm 8/255": 0.2714, "pgd 3/255": 0.4024, "pgd 8/255": 0.2467,
                 "autoattack": 0.2093},
    "imagenet16_120": {"clean": 0.1616, "fgsm 3/255": 0.1251, "fgsm 8/255": 0.0803, "pgd 3/255": 0.1248,
                       "pgd 8/255": 0.0745, "autoattack": 0.0462},
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A published number and the same one computed from the table.

    Attributes:
        what: in words.
        here: computed; one number, or the two ends of a range.
        published: by the authors, as precisely as they say it.
        source: who says so.
    """

    what: str
    here: tuple[float, ...]
    published: tuple[float, ...]
    source: str


@dataclass(frozen=True)
class Agreement:
    """How a column of one table ranks networks as a column of the other does, over all classes."""

    adversarial: str
    standard: str
    spearman: float
    kendall: float


def agreements(adversarial: TableAnalysis, standard: TableAnalysis) -> list[Agreement]:
    """The headline and the clean column after adversarial training against all clean and attacked standard ones."""
    labels = dict.fromkeys([adversarial.columns[adversarial.headline].label, "clean"])
    chosen = [column for column in adversarial.columns if column.label in labels]
    others = [column for column in standard.columns if column.kind != "corruption"]
    found = []
    for left in sorted(chosen, key=lambda column: list(labels).index(column.label)):
        for right in others:
            pair = [left.values, right.values]
            rho, tau = rank_correlations(pair)[0, 1], kendall_correlations(pair)[0, 1]
            found.append(Agreement(left.label, right.label, float(rho), float(tau)))
    return found


def findings(dataset: str, tables: Sequence[TableAnalysis], agreed: Sequence[Agreement]) -> list[Finding]:
    """All published numbers that the tables at hand allow to compute."""
    by_title = {table.benchmark: table for table in tables}
    found: list[Finding] = []
    if NasRobBench201.title in by_title:
        found += _adversarial(dataset, by_title[NasRobBench201.title])
    if dataset == "cifar10":  # the papers' other numbers are of CIFAR-10
        found += _between(agreed)
        if RobustnessDataset.title in by_title:
            found += _standard(by_title[RobustnessDataset.title])
    return found


def _adversarial(dataset: str, table: TableAnalysis) -> Iterator[Finding]:
    for label, published in _BEST_AFTER_ADVERSARIAL_TRAINING[dataset].items():
        place = table.position(label)
        if place is not None:
            best = float(np.nanmax(table.columns[place].values))
            yield Finding(f"best {label} accuracy after adversarial training", (best,), (published,), _WU)
    fgsm, pgd = table.position("fgsm 8/255"), table.position("pgd 8/255")
    if dataset == "cifar10" and fgsm is not None and pgd is not None:
        rho = float(table.spearman[fgsm, pgd])
        yield Finding("Spearman of FGSM 8/255 with PGD 8/255, adversarially trained", (rho,), (0.998,), _WU)


def _between(agreed: Sequence[Agreement]) -> Iterator[Finding]:
    for entry in agreed:
        if (entry.adversarial, entry.standard) == ("pgd 8/255", "pgd 8/255"):
            what = "Spearman of PGD 8/255 after adversarial training with PGD 8/255 after standard training"
            yield Finding(what, (entry.spearman,), (0.382,), _WU)


def _standard(table: TableAnalysis) -> Iterator[Finding]:
    for spread in table.spreads:
        if (spread.convolutions_1x1, spread.convolutions_3x3) == (0, 2):
            # The abstract says 20 to 41 %, the text 0.21 to 0.40.
            what = "mean accuracy over all attacks and eps, networks with two 3x3 and no 1x1 convolutions: worst, best"
            yield Finding(what, (spread.smallest, spread.largest), (0.21, 0.40), _JUNG)
    place = table.position("fgsm 1/255")
    if place is not None:
        best = float(np.nanmax(table.columns[place].values))
        yield Finding("best FGSM 1/255 accuracy after standard training", (best,), (0.6924,), _JUNG)
