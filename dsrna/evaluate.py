"""Evaluate trained networks under attack, report: `python -m dsrna.evaluate from=RUN_FOLDER|best.ckpt`."""

from dsrna.entry_module import begin

begin(__name__, "evaluate")
