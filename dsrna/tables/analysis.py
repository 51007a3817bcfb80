"""Analysing the published tables: read them, compute, write the report, show the published numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from dsrna.benchmarks.findings import Finding, agreements, findings
from dsrna.benchmarks.published import open_tables_there
from dsrna.benchmarks.robustness_dataset import DATASETS
from dsrna.benchmarks.table_analysis import analyse_table
from dsrna.config.parts import located
from dsrna.console import output
from dsrna.errors import ConfigError, DataError
from dsrna.runs.sources import tables_folder
from dsrna.spaces.names import unknown_name
from dsrna.tables.analysis_page import Analysis, finding_text, write_analysis


def analyse(tables: str | None, data_root: str | None, dataset: str, out: Path, echo: Callable[[str], None]) -> Path:
    """Writes the analyses of the tables at hand to a folder.

    Args:
        tables: the folder with the tables; None means the data root.
        data_root: the data root; None means $DSRNA_DATA, else ./data.
        dataset: of cifar10, cifar100, imagenet16_120.
        out: where the report goes.
        echo: shows one message to the user.

    Returns:
        The page.

    Raises:
        ConfigError: there is no such data set, or ``out`` can't be written to.
        DataError: there is neither table, or one is damaged.
    """
    if dataset not in DATASETS:
        raise ConfigError(f"{unknown_name('data set', dataset, DATASETS)} (--dataset)")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"Expected a folder for the report, got the file {out}. (--out)")
    root, _ = tables_folder(tables, data_root)
    if not root.is_dir():
        raise DataError(
            f"Expected a folder with the published tables, got {root}, which isn't one. Give it as --tables, as "
            "data.root=FOLDER, or set $DSRNA_DATA. (--tables)"
        )
    found, left_out = open_tables_there(root, dataset)
    if not found:
        raise DataError(" ".join([*left_out, "(--tables)"]))
    for message in left_out:
        echo(f"left out: {message}")
    analysed = []
    for table in found:
        echo(f"analysing {table.title}, {dataset}")
        with located("--tables"):
            analysed.append(analyse_table(table, dataset))
    agreed = agreements(analysed[0], analysed[1]) if len(analysed) == 2 else []
    beside = findings(dataset, analysed, agreed)
    page = write_analysis(out, Analysis(dataset, analysed, agreed, beside, left_out))
    _show(beside)
    return page


def _show(entries: list[Finding]) -> None:
    table = Table(title="Beside the published numbers")
    table.add_column("")
    table.add_column("here", justify="right")
    table.add_column("published", justify="right")
    for entry in entries:
        table.add_row(
            entry.what, finding_text(entry.here, entry.published), finding_text(entry.published, entry.published)
        )
    if entries:
        output().print(table)
