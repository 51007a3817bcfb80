"""Search by queries, on a table or by a proxy: `python -m dsrna.query method=[genetic] guide=[robbench/clean]`."""

from __future__ import annotations

from dsrna.commands import main_of
from dsrna.entry_module import make_callable

if __name__ == "__main__":
    main_of("query")
else:
    make_callable(__name__)
