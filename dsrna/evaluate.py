"""Evaluate trained networks under attack, report: `python -m dsrna.evaluate from=RUN_FOLDER|best.ckpt`."""

from __future__ import annotations

from dsrna.commands import main_of
from dsrna.entry_module import make_callable

if __name__ == "__main__":
    main_of("evaluate")
else:
    make_callable(__name__)
