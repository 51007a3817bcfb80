"""Retrain a genotype, evaluate, report: `python -m dsrna.retrain from=RUN_FOLDER|genotype.json|NAME`."""

from dsrna.entry_module import begin

begin(__name__, "retrain")
