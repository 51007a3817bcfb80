"""Robustness tables of NAS-Bench-201: `python -m dsrna.benchmark train arch=13433 recipe=nas_robbench_201`."""

from __future__ import annotations

import sys

from dsrna.pipeline.benchmark_entry import train_main
from dsrna.progress import terminal

COMMANDS = {"train": train_main}


def main() -> None:
    """Runs ``python -m dsrna.benchmark COMMAND …`` with the rest of this process's command line."""
    chosen = sys.argv[1] if len(sys.argv) > 1 else None
    if chosen not in COMMANDS:
        terminal().print(
            f"[error] Expected `python -m dsrna.benchmark COMMAND …` with one of {', '.join(COMMANDS)}, "
            f"got {chosen!r}." if chosen else f"[error] Name a command: {', '.join(COMMANDS)}.",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise SystemExit(2)
    del sys.argv[1]
    COMMANDS[chosen]()


if __name__ == "__main__":
    main()
