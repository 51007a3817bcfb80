"""Rank architectures by zero-cost proxies: `python -m dsrna.rank proxy=[croze,nwot] n=100`."""

from __future__ import annotations

from dsrna.entry_module import make_callable
from dsrna.pipeline.entry import main_of

if __name__ == "__main__":
    main_of("rank")
else:
    make_callable(__name__)
