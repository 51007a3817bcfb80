"""Where the published tables are looked for, by every command alike."""

from __future__ import annotations

from pathlib import Path

from dsrna.data.source import root_folder


def tables_folder(given: str | None, data_root: str | None) -> tuple[Path, str]:
    """The folder with the tables, and the setting that names it.

    Args:
        given: ``benchmark.root``, a folder for the tables alone; None: they lie in the data root.
        data_root: ``data.root``; None: ``$DSRNA_DATA``, else ``./data``.
    """
    return (root_folder(data_root), "data.root") if given is None else (root_folder(given), "benchmark.root")
