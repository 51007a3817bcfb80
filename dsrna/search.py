"""Search, derive, retrain, evaluate, report: `python -m dsrna.search +experiment=NAME`."""

from dsrna.entry_module import begin

begin(__name__, "search")
