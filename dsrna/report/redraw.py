"""Drawing the report of any run folder again."""

from __future__ import annotations

from pathlib import Path

from dsrna.errors import CheckpointError
from dsrna.report.page import write_report
from dsrna.report.query_page import write_query
from dsrna.report.ranking_page import write_ranking
from dsrna.run_folder import RunFolder

_WRITERS = {"rank": write_ranking, "query": write_query}
"""By the entry point that made the folder; all others write the same page."""


def redraw(folder: Path) -> Path:
    """Draws pictures and page again from what a run folder holds.

    Returns:
        The page.

    Raises:
        CheckpointError: ``folder`` is no run folder, what its page needs isn't there yet, or a file in it is damaged.
        ConfigError: ``folder`` can't be written to.
    """
    kind = RunFolder.open(Path(folder)).read_run()["kind"]
    try:
        return _WRITERS.get(kind, write_report)(folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration) as error:
        # Each file is of its shape, but they may be of different runs, or lists in them of different lengths.
        raise CheckpointError(
            f"The files in {folder} don't fit together ({type(error).__name__}: {error}). Restore them from a copy."
        ) from error
