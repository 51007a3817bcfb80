"""What every proxy costs, as multiples of one forward and backward pass of the network that it scores.

Run: ``python experiments/bench/proxies.py`` (or with ``--batch 64 --proxies ntk_clean``). Every proxy is timed in turn
with a forward and backward pass right before it, in one process, several rounds; a ratio is the median over rounds of
(proxy / that pass), since machines are noisy. A proxy's time has the copy of the network in it that every proxy makes.

The released CRoZe's procedure is timed and scored beside ours. Its network is ours: the released code's cells carry all
operations of all edges along, the unused ones too, which makes its copies slower than those timed here.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from dsrna.config.catalog import choices
from dsrna.config.compose import compose
from dsrna.functional.seeding import generator
from dsrna.nn.derived_cell import DerivedCell
from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.proxies.croze import Croze
from dsrna.ranking.settings import build_proxies, rank_settings
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.released_croze import released_croze, without_batch_norm

CELLS = 5
RELEASED = "croze, the released procedure"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", type=int, default=1000, help="published index")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--proxies", nargs="+", default=choices("proxy"))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    space = Nasbench201Space()
    network = space.network(space.genotype(chosen.architecture), (3, 32, 32), 10, cells=CELLS)
    x, y = torch.rand(chosen.batch, 3, 32, 32), torch.arange(chosen.batch) % 10
    proxies = build_proxies(rank_settings(compose("rank", [f"proxy=[{','.join(chosen.proxies)}]"])).proxy)

    def plain() -> None:
        torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()), allow_unused=True)

    jobs: dict[str, Callable[[], object]] = {}
    for name, proxy in proxies.items():
        jobs[name] = lambda proxy=proxy: proxy(network, x, y, generator(0, "bench"))
        if name == "croze":  # one right after the other, which bears a busy machine best
            jobs[RELEASED] = lambda: released(network, x, y)
    plain()
    for job in jobs.values():
        job()  # the first call of each is not measured
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(chosen.rounds):
        for name, job in jobs.items():
            seconds[name].append((timed(plain), timed(job)))
    show(seconds, chosen, network)
    if "croze" in jobs:
        compare_croze(seconds, network, x, y)


def released(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """The released procedure's score."""
    points = ("stem", *(f"blocks.{place}" for place in (CELLS, 2 * CELLS + 1, 3 * CELLS + 1)))
    return released_croze(without_batch_norm(network, keep=[ResidualReduction]), x, y, DerivedCell, CELLS, points)


def timed(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def show(seconds: dict[str, list[tuple[float, float]]], chosen: argparse.Namespace, network: nn.Module) -> None:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    plain = statistics.median(base for pairs in seconds.values() for base, _ in pairs)
    table = Table(
        title=f"{string_at(chosen.architecture)}, C16 N{CELLS}, {parameters:,} parameters, batch {chosen.batch}, "
        f"32x32; torch {torch.__version__}, {chosen.threads} CPU threads; one forward and backward pass {plain:.3f} s"
    )
    for column in ("proxy", "forward and backward passes (median)", "min - max", "seconds (median)"):
        table.add_column(column)
    for name, pairs in seconds.items():
        ratios = [value / base for base, value in pairs]
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        table.add_row(name, f"{statistics.median(ratios):.2f}", spread, f"{statistics.median(v for _, v in pairs):.3f}")
    Console(width=150).print(table)


def compare_croze(seconds: dict[str, list[tuple[float, float]]], network: nn.Module, x: Tensor, y: Tensor) -> None:
    """Prints how much faster ours is, round by round, and how close the scores are."""
    pairs = zip(seconds["croze"], seconds[RELEASED], strict=True)
    faster = [theirs / ours for (_, ours), (_, theirs) in pairs]
    ours, theirs = Croze()(network, x, y), released(network, x, y)
    print(
        f"CRoZe: {statistics.median(faster):.2f} times as fast as the released procedure ({min(faster):.2f} - "
        f"{max(faster):.2f}); relative difference of the scores {abs(ours / theirs - 1):.1e}"
    )


if __name__ == "__main__":
    main()
