"""The report on the published tables: page, pictures, and the numbers for programs."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.benchmarks.findings import Agreement, Finding
from dsrna.benchmarks.table_analysis import TableAnalysis
from dsrna.files import write_bytes, write_json, write_text, writing_to
from dsrna.provenance import git_state, library_versions, this_command
from dsrna.report.published import TITLES
from dsrna.report.results import hundredths
from dsrna.report.style import png
from dsrna.report.templates import render
from dsrna.tables.analysis_plots import (
    draw_agreement,
    draw_correlations,
    draw_effects,
    draw_robust_against,
    draw_spreads,
)

SCHEMA = "dsrna.analysis"
VERSION = 1


@dataclass(frozen=True)
class Analysis:
    """Everything that is said of the tables at hand.

    Attributes:
        dataset: of cifar10, cifar100, imagenet16_120.
        tables: one or both.
        agreed: of both tables; empty when one is missing.
        findings: beside published numbers.
        left_out: why a table is missing, one message each.
    """

    dataset: str
    tables: list[TableAnalysis]
    agreed: list[Agreement]
    findings: list[Finding]
    left_out: list[str]


@dataclass(frozen=True)
class _Picture:
    name: str
    caption: str
    content: bytes

    @property
    def width(self) -> int:
        """In pixels as shown, half as many as the PNG has."""
        return int.from_bytes(self.content[16:20], "big") // 2


def write_analysis(folder: Path, analysis: Analysis) -> Path:
    """Writes ``analysis.json``, ``plots/*.png`` and ``report.html``.

    Args:
        folder: made where it isn't there; files of an earlier analysis in it are replaced.
        analysis: what to write.

    Returns:
        The page.

    Raises:
        ConfigError: the folder can't be written to.
    """
    galleries = [_gallery(table) for table in analysis.tables]
    pair = _pair(analysis)
    page = render(
        "analysis.html",
        title=TITLES[analysis.dataset],
        analysis=analysis,
        galleries=galleries,
        pair=pair,
        finding=finding_text,
        hundredths=hundredths,
        facts=[_facts(table) for table in analysis.tables],
        command=this_command(),
        embed=lambda picture: base64.b64encode(picture.content).decode(),
    )
    with writing_to(folder):
        for picture in [picture for gallery in [*galleries, pair] for picture in gallery]:
            write_bytes(folder / "plots" / f"{picture.name}.png", picture.content)
        write_json(folder / "analysis.json", _plain(_document(analysis)))
        write_text(folder / "report.html", page)
    return folder / "report.html"


def finding_text(values: Sequence[float], published: Sequence[float]) -> str:
    """Numbers as precisely as the published ones are said.

    >>> finding_text([0.21128, 0.39909], [0.21, 0.4])
    '0.21 to 0.40'
    >>> finding_text([0.99849], [0.998])
    '0.998'
    """
    digits = max(2, *(len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in published))
    return " to ".join(f"{value:.{digits}f}" for value in values)


def _gallery(table: TableAnalysis) -> list[_Picture]:
    name = table.training.partition(" ")[0]
    headline = table.columns[table.headline].label
    pictures = [
        _Picture(
            f"{name}_correlations",
            "How columns rank the 6,466 classes alike: clean accuracy and all attacks by eps.",
            png(draw_correlations(table, _places(table, "clean", "attack"))),
        )
    ]
    corrupted = [place for place, column in enumerate(table.columns) if column.kind == "corruption"]
    if corrupted:
        telling = [place for place, column in enumerate(table.columns) if _is_telling(table, place)]
        middle = [place for place in corrupted if table.columns[place].level == 3]
        pictures.append(
            _Picture(
                f"{name}_corruptions",
                "The same of attacks at the most telling eps and corruptions at severity 3.",
                png(draw_correlations(table, [*telling, *middle])),
            )
        )
        pictures.append(
            _Picture(
                f"{name}_everything",
                "All columns: attacks by eps and corruptions by severity, weakest first; numbers are in analysis.json.",
                png(draw_correlations(table, range(len(table.columns)))),
            )
        )
    pictures.append(
        _Picture(
            f"{name}_robust_against",
            f"Accuracy under {headline} against clean accuracy and against size, one point a class.",
            png(draw_robust_against(table)),
        )
    )
    if table.spreads:
        pictures.append(
            _Picture(
                f"{name}_spreads",
                "Mean accuracy over all attacks and eps of connected networks, from the worst to the best of each "
                "parameter count: how much the wiring alone does.",
                png(draw_spreads(table)),
            )
        )
    for effects in table.effects:
        pictures.append(
            _Picture(
                f"{name}_operations_{effects.label.replace('/', '_').replace(' ', '_')}",
                f"Operations and {effects.label} accuracy: means over connected classes.",
                png(draw_effects(effects)),
            )
        )
    return pictures


def _pair(analysis: Analysis) -> list[_Picture]:
    if not analysis.agreed:
        return []
    adversarial, standard = analysis.tables
    caption = (
        "Left: one point a class, by its ranks in both tables (1 is the best). Right: how well accuracies of "
        "standard-trained networks rank the same architectures after adversarial training."
    )
    return [_Picture("agreement", caption, png(draw_agreement(adversarial, standard, analysis.agreed)))]


def _places(table: TableAnalysis, *kinds: str) -> list[int]:
    return [place for place, column in enumerate(table.columns) if column.kind in kinds]


def _is_telling(table: TableAnalysis, place: int) -> bool:
    column = table.columns[place]
    level = table.columns[table.headline].level
    return column.kind == "clean" or (column.kind == "attack" and (column.level is None or column.level == level))


def _facts(table: TableAnalysis) -> list[tuple[str, str]]:
    """Rank correlations of the headline column, and its best value."""
    headline = table.columns[table.headline]
    facts = [(f"best {headline.label} accuracy", hundredths(float(np.nanmax(headline.values))))]
    clean = table.position("clean")
    related = {"parameters": table.with_size}
    if clean is not None and clean != table.headline:
        related["clean accuracy"] = table.spearman[table.headline, clean], table.kendall[table.headline, clean]
    for name, (rho, tau) in related.items():
        facts.append((f"{headline.label} with {name}", f"Spearman {rho:.3f}, Kendall {tau:.3f}"))
    return facts


def _document(analysis: Analysis) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "dataset": analysis.dataset,
        "command": this_command(),
        "git": git_state(),
        "versions": library_versions(),
        "left_out": analysis.left_out,
        "findings": [vars(entry) for entry in analysis.findings],
        "agreements": [vars(entry) for entry in analysis.agreed],
        "tables": [_table_document(table) for table in analysis.tables],
    }


def _table_document(table: TableAnalysis) -> dict[str, Any]:
    rho, tau = table.with_size
    return {
        "benchmark": table.benchmark,
        "training": table.training,
        "columns": [column.label for column in table.columns],
        "headline": table.columns[table.headline].label,
        "spearman": table.spearman,
        "kendall": table.kendall,
        "headline_with_parameters": {"spearman": rho, "kendall": tau},
        "spreads": [vars(spread) for spread in table.spreads],
        "effects": [vars(effects) for effects in table.effects],
    }


def _plain(value: Any) -> Any:
    """Lists for arrays and tuples, None for NaN: JSON has neither."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value
