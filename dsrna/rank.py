"""Rank architectures by zero-cost proxies: `python -m dsrna.rank proxy=[croze,nwot] n=100`."""

from __future__ import annotations

from dsrna.commands import main_of
from dsrna.entry_module import make_callable

if __name__ == "__main__":
    main_of("rank")
else:
    make_callable(__name__)
