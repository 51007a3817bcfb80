"""How our clean proxies rank architectures, against the values that others published for the same architectures.

Run: ``python experiments/proxies/published_values.py --table zero_cost_proxies_cifar10.csv --root DATA``, on real
CIFAR-10 images. The table is the one that NAS-Bench-Suite-Zero's proxies were published in; it has every proxy once an
architecture, for other initial weights and images than ours. Spearman's rank correlation can't reach 1 where weights or
images matter, so the script also ranks ours against ours under another seed.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from dsrna.benchmarks.sampling import is_connected
from dsrna.config.compose import compose
from dsrna.progress import Progress
from dsrna.ranking.run import build_scorer
from dsrna.ranking.scoring import score_all
from dsrna.ranking.settings import rank_settings
from dsrna.spaces.nasbench201.index import index_of

PROXIES = (
    *("epe_nas", "fisher", "flops", "grad_norm", "grasp", "jacov", "l2_norm"),
    *("nwot", "params", "plain", "snip", "synflow", "zen"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--root", required=True, help="folder of cifar10.npz or CIFAR-10's own files")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 1))
    parser.add_argument("--proxies", nargs="+", choices=PROXIES, default=PROXIES, metavar="PROXY")
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    published = sample(chosen.table, chosen.count)
    indices = list(published)
    first, second = (scores(indices, seed, chosen) for seed in chosen.seeds)
    table = Table(
        title=f"{len(indices)} architectures, {chosen.images} CIFAR-10 images, seeds {chosen.seeds}, torch "
        f"{torch.__version__}"
    )
    for column in ("proxy", "ours against published", "second seed against published", "ours against ours"):
        table.add_column(column)
    for name in chosen.proxies:
        theirs = [published[index][name] for index in indices]
        ours, again = ([row[name] for row in rows] for rows in (first, second))
        pairs = ((ours, theirs), (again, theirs), (ours, again))
        table.add_row(name, *(f"{spearmanr(a, b).statistic:.3f}" for a, b in pairs))
    Console(width=120).print(table)


def sample(path: Path, count: int) -> dict[int, dict[str, float]]:
    """Index -> published values of ``count`` connected architectures, the same ones every time."""
    found: dict[int, dict[str, float]] = {}
    with path.open() as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)
    for row in rows:
        index, values = index_of(row["net_str"]), {name: float(row[name]) for name in PROXIES}
        if is_connected(index) and np.isfinite(list(values.values())).all():
            found[index] = values
        if len(found) == count:
            break
    return found


def scores(indices: list[int], seed: int, chosen: argparse.Namespace) -> list[dict[str, float]]:
    """Our scores of every architecture."""
    settings = rank_settings(
        compose(
            "rank",
            [
                f"proxy=[{','.join(chosen.proxies)}]",
                f"images={chosen.images}",
                f"seed={seed}",
                f"data.root={chosen.root}",
            ],
        )
    )

    def shown() -> Iterator[dict[str, float]]:
        with Progress(f"seed {seed}", len(indices)) as bar:
            for found in score_all(build_scorer(settings), indices, chosen.workers):
                bar.advance(1, dict(islice(found.items(), 3)))
                yield found

    return list(shown())


if __name__ == "__main__":
    main()
