"""Rank architectures by zero-cost proxies: `python -m dsrna.rank proxy=[croze,nwot] n=100`."""

from dsrna.entry_module import begin

begin(__name__, "rank")
