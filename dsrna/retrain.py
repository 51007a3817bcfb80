"""Retrain a genotype, evaluate, report: `python -m dsrna.retrain from=RUN_FOLDER|genotype.json|NAME`."""

from __future__ import annotations

from dsrna.commands import main_of
from dsrna.entry_module import make_callable

if __name__ == "__main__":
    main_of("retrain")
else:
    make_callable(__name__)
