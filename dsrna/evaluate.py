"""Evaluate trained networks under attack, report: `python -m dsrna.evaluate from=RUN_FOLDER|best.ckpt`."""

from __future__ import annotations

from dsrna.pipeline.entry import main_of

if __name__ == "__main__":
    main_of("evaluate")
