"""How well each form of the certified metric ranks networks: see README.md here.

Run: ``python experiments/certified_ranking/rank.py cells`` (half an hour on one core; goes on where it was
interrupted), then ``… rank.py tables``, which needs a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cells
import tables
import toys

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cells", "tables"])
    parser.add_argument("--first", type=int, default=0, help="number of the first cell, to share them out")
    parser.add_argument("--cells", type=int, default=30, help="how many cells")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    recorded = HERE / "cells.jsonl"
    if chosen.what == "cells":
        cells.measure_all(recorded, chosen.first, chosen.cells, chosen.seed)
        return
    tables.show_toys(toys.measure_all(chosen.seed))
    records = cells.read(recorded)
    tables.show_cells(records)
    tables.draw(records, HERE / "rank_against_eps.png")


if __name__ == "__main__":
    main()
