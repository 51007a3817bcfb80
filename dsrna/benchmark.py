"""Robustness tables of NAS-Bench-201, published and of one's own: `python -m dsrna.benchmark analyse`, `… train`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dsrna.commands import COMMANDS
from dsrna.console import echo
from dsrna.runs.exit_status import run_command
from dsrna.runs.launch import launch


def analyse(arguments: Sequence[str]) -> None:
    """``analyse``: what the published tables say; a page, pictures, and the numbers."""
    parser = argparse.ArgumentParser(prog="python -m dsrna.benchmark analyse", description=analyse.__doc__)
    parser.add_argument(
        "--tables",
        metavar="FOLDER",
        help="with NAS-RobBench-201_all.json, robustness-data/, or both; the data root when left out",
    )
    parser.add_argument(
        "root",
        nargs="?",
        type=_data_root,
        metavar="data.root=FOLDER",
        help="the data root, as for other commands; $DSRNA_DATA, else ./data, when left out",
    )
    parser.add_argument("--dataset", default="cifar10", help="cifar10 (default), cifar100 or imagenet16_120")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the report; runs/analysis_DATASET when left out")
    chosen = parser.parse_intermixed_args(arguments)
    from dsrna.tables.analysis import analyse as analyse_tables  # slow to import: --help comes at once

    out = chosen.out or Path("runs") / f"analysis_{chosen.dataset}"
    echo(f"report: {analyse_tables(chosen.tables, chosen.root, chosen.dataset, out, echo)}")


def _data_root(word: str) -> str:
    key, equals, folder = word.partition("=")
    if key != "data.root" or not equals:
        raise argparse.ArgumentTypeError(f"expected data.root=FOLDER, got {word}")
    return folder


def train(arguments: Sequence[str]) -> None:
    """``train``: architectures by a published recipe, and a table of what was measured in its layout."""
    sys.argv = [sys.argv[0], *arguments]  # where Hydra and its launchers look for them
    launch(COMMANDS["benchmark_train"], echo)


SUBCOMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"analyse": analyse, "train": train}
"""First word of the command line -> what does it, given the other words."""


def main(arguments: Sequence[str]) -> None:
    """Runs one command.

    Exit status: as of :func:`dsrna.runs.exit_status.run_command`.
    """
    summaries = "\n".join(f"  {command.__doc__}" for command in SUBCOMMANDS.values())
    parser = argparse.ArgumentParser(
        prog="python -m dsrna.benchmark",
        description=f"{__doc__}\n\n{summaries}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=list(SUBCOMMANDS))

    def run() -> None:
        SUBCOMMANDS[parser.parse_args(arguments[:1]).command](arguments[1:])

    run_command(run)


if __name__ == "__main__":
    main(sys.argv[1:])
