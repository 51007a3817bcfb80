"""Search, derive, retrain, evaluate, report: `python -m dsrna.search +experiment=NAME`."""

from __future__ import annotations

from dsrna.commands import main_of
from dsrna.entry_module import make_callable

if __name__ == "__main__":
    main_of("search")
else:
    make_callable(__name__)
