"""What bounds cost, as multiples of a forward and backward pass, and how wide they are.

Run: ``python experiments/bench/bounds.py`` (or with ``--network supernet --eps 1e-6``). All engines bound the margins
of the same images in one process; a ratio is the median over rounds of (engine / plain in the same round). auto_LiRPA
traces a network at the first call; later calls take over the values that have changed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from dsrna.bounds.engine import BoundEngine
from dsrna.bounds.engines import ENGINES, REFERENCE_ENGINES, bound_engine
from dsrna.functional.seeding import generator
from dsrna.progress import Progress
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet

WITHOUT_GRADIENT = {"alpha_crown"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["derived", "supernet"], default="derived")
    parser.add_argument("--genotype", default="DARTS_V2", help="of the derived network")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=8, help="height and width of the images")
    parser.add_argument("--eps", type=float, default=1e-3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--engines", nargs="+", default=[*ENGINES, *REFERENCE_ENGINES])
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    network = build(chosen).to(chosen.device)
    x = torch.rand(chosen.batch, 3, chosen.size, chosen.size).to(chosen.device)
    with torch.no_grad():
        network(x)  # running statistics that fit
        y = network.eval()(x).argmax(dim=1)
    table = Table(
        title=f"{chosen.network}, C{chosen.channels}, {chosen.cells} cells, batch {chosen.batch}, {chosen.size}x"
        f"{chosen.size}, linf eps {chosen.eps:g}; torch {torch.__version__}, {chosen.threads} CPU threads, "
        f"{platform.machine()}"
    )
    for column in ("engine", "width", "first call, s", "bounds, times plain", "least margin and gradient, times plain"):
        table.add_column(column)
    with Progress("bench", len(chosen.engines)) as bar:
        for name in chosen.engines:
            table.add_row(name, *measure(bound_engine(name), network, x, y, chosen, name in WITHOUT_GRADIENT))
            bar.advance(1, {})
    Console(width=150).print(table)


def build(chosen: argparse.Namespace) -> nn.Module:
    space, shape = DartsSpace(), (3, chosen.size, chosen.size)
    if chosen.network == "derived":
        return space.network(published(chosen.genotype), shape, 10, chosen.cells, chosen.channels)
    supernet = space.supernet(shape, 10, chosen.cells, chosen.channels)
    return RelaxedSupernet(supernet, Darts().initial(space, generator(0, "alphas")))


def measure(
    engine: BoundEngine, network: nn.Module, x: Tensor, y: Tensor, chosen: argparse.Namespace, only_values: bool
) -> list[str]:
    """The row of one engine."""
    source = network.architecture if isinstance(network, RelaxedSupernet) else network
    parameters = list(source.parameters())

    def plain() -> None:
        torch.autograd.grad(F.cross_entropy(network(x), y), parameters, allow_unused=True)

    def bounds() -> float:
        with torch.no_grad():
            lower, upper = engine(network, x, chosen.eps, y)
        return (upper - lower).mean().item()

    def gradient() -> None:
        least = engine.summary(network, x, chosen.eps, y).lower
        torch.autograd.grad(least.sum(), parameters, allow_unused=True)

    began = time.perf_counter()
    width = bounds()
    first = time.perf_counter() - began
    columns = [ratio(bounds, plain, chosen)]
    columns.append("-" if only_values else ratio(gradient, plain, chosen))
    return [f"{width:.4g}", f"{first:.2f}", *columns]


def ratio(call: Callable[[], object], plain: Callable[[], None], chosen: argparse.Namespace) -> str:
    plain(), call()
    ratios = [timed(call, chosen.device) / timed(plain, chosen.device) for _ in range(chosen.rounds)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} - {max(ratios):.1f})"


def timed(call: Callable[[], object], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
