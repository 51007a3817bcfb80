"""Search by queries, on a table or by a proxy: `python -m dsrna.query method=[genetic] guide=[robbench/clean]`."""

from dsrna.entry_module import begin

begin(__name__, "query")
