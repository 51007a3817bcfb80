"""Peak memory of the proxies on the largest network of NAS-Bench-201, each in a process of its own.

Run: ``python experiments/bench/proxy_memory.py`` (or with ``--images 8 --proxies croze``). The memory is the most that
the process ever held, interpreter and libraries and network among it; that of a process which scores nothing stands
first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import torch
from rich.console import Console
from rich.table import Table

from dsrna.config.compose import compose
from dsrna.functional.seeding import generator
from dsrna.ranking.settings import build_proxies, rank_settings
from dsrna.spaces.nasbench201.space import Nasbench201Space

LARGEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
NOTHING = "none"
KERNELS = ("ntk_clean", "ntk_robust", "ntk_robust_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default=LARGEST)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--proxies", nargs="+", default=KERNELS)
    chosen = parser.parse_args()
    table = Table(
        title=f"{chosen.architecture}, C16 N5, {chosen.images} images of 32x32, torch {torch.__version__}, CPU"
    )
    for column in ("proxy", "peak memory (GB)", "seconds"):
        table.add_column(column)
    for name in (NOTHING, *chosen.proxies):
        # A fresh process each: the peak of a process never falls.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            peak, seconds = pool.submit(measure, name, chosen.architecture, chosen.images).result()
        table.add_row(name, f"{peak:.2f}", f"{seconds:.1f}")
    Console(width=150).print(table)


def measure(name: str, architecture: str, images: int) -> tuple[float, float]:
    """Peak memory of this process in GB after one score, and seconds that the score took."""
    torch.manual_seed(0)
    space = Nasbench201Space()
    network = space.network(space.genotype(architecture), (3, 32, 32), 10)
    x, y = torch.rand(images, 3, 32, 32), torch.arange(images) % 10
    began = time.perf_counter()
    if name != NOTHING:
        (proxy,) = build_proxies(rank_settings(compose("rank", [f"proxy=[{name}]"])).proxy).values()
        proxy(network, x, y, generator(0, "bench"))
    seconds = time.perf_counter() - began
    unit = 1e9 if sys.platform == "darwin" else 1e9 / 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, seconds


if __name__ == "__main__":
    main()
