"""Compare methods by a plan, `python -m dsrna.compare +comparison=digits_tour`; or finished runs, `… runs/A runs/B`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dsrna.commands import main_of
from dsrna.console import output
from dsrna.entry_module import make_callable
from dsrna.runs.exit_status import run_command


def main(words: Sequence[str]) -> None:
    """Runs the plan that overrides stand for, or compares the finished runs of the folders that are given first.

    Exit status: as of :func:`dsrna.runs.exit_status.run_command`.
    """
    if words and "=" not in words[0] and not words[0].startswith("-"):
        run_command(lambda: compare_folders(words))
    else:
        sys.argv = [sys.argv[0], *words]  # where Hydra and its launchers look for them
        main_of("compare")


def compare_folders(words: Sequence[str]) -> None:
    """The table of finished runs, whoever made them; those that are equal but for their seeds are one row."""
    parser = argparse.ArgumentParser(prog="python -m dsrna.compare", description=compare_folders.__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="run folders, or folders in which they lie")
    parser.add_argument("--reference", metavar="ROW", help="what the others are compared with; the first when left out")
    parser.add_argument("--out", type=Path, default=Path("runs") / "compared", help="default: runs/compared")
    chosen = parser.parse_args(words)
    from dsrna.comparing.finished import results_of  # slow to import: --help comes at once
    from dsrna.comparing.pages import write_pages

    results = results_of(chosen.folders, chosen.reference)
    results.save(chosen.out)
    output().print(f"table: {write_pages(results, chosen.out)}", soft_wrap=True)


if __name__ == "__main__":
    main(sys.argv[1:])
else:
    make_callable(__name__)
