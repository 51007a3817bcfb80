"""Search, derive, retrain, evaluate, report: `python -m dsrna.search +experiment=NAME`."""

from __future__ import annotations

from dsrna.entry_module import make_callable
from dsrna.pipeline.entry import main_of

if __name__ == "__main__":
    main_of("search")
else:
    make_callable(__name__)
