"""What every proxy costs, as multiples of one forward and backward pass of the network that it scores.

Run: ``python experiments/bench/proxies.py`` (or with ``--batch 64 --proxies ntk_clean``). All are timed in one process,
in turn, several rounds; a ratio is the median over rounds of (proxy / forward and backward in the same round), since
machines are noisy. A proxy's time has the copy of the network in it that every proxy makes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn

from dsrna.config.catalog import choices
from dsrna.config.compose import compose
from dsrna.config.rank import build_proxies, rank_settings
from dsrna.functional.seeding import generator
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space


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
    network = space.network(space.genotype(chosen.architecture), (3, 32, 32), 10)
    x, y = torch.rand(chosen.batch, 3, 32, 32), torch.arange(chosen.batch) % 10
    proxies = build_proxies(rank_settings(compose("rank", [f"proxy=[{','.join(chosen.proxies)}]"])).proxy)

    def plain() -> None:
        torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()), allow_unused=True)

    jobs: dict[str, Callable[[], object]] = {"forward and backward": plain}
    for name, proxy in proxies.items():
        jobs[name] = lambda proxy=proxy: proxy(network, x, y, generator(0, "bench"))
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # the first call of each is not measured
    for _ in range(chosen.rounds):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - began)
    show(seconds, chosen, network)


def show(seconds: dict[str, list[float]], chosen: argparse.Namespace, network: nn.Module) -> None:
    plain = next(iter(seconds.values()))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    table = Table(
        title=f"{string_at(chosen.architecture)}, C16 N5, {parameters:,} parameters, batch {chosen.batch}, 32x32; "
        f"torch {torch.__version__}, {chosen.threads} CPU threads, peak memory of the process {peak:.2f} GB"
    )
    for column in ("proxy", "times plain (median)", "min - max", "seconds (median)"):
        table.add_column(column)
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, plain, strict=True)]
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        table.add_row(name, f"{statistics.median(ratios):.2f}", spread, f"{statistics.median(values):.3f}")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
