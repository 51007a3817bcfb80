"""How well each form of the certified metric ranks networks: see README.md here.

Run: ``python experiments/certified_ranking/rank.py cells`` (half an hour on one core; goes on where it was
interrupted), then ``… rank.py tables``, which needs seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cells import measure_all

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cells"])
    parser.add_argument("--cells", type=int, default=36, help="how many cells")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    measure_all(HERE / "cells.jsonl", chosen.cells, chosen.seed)


if __name__ == "__main__":
    main()
