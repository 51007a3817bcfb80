"""What an architecture step costs with each metric and hypergradient, as multiples of a plain first-order one.

Run: ``make bench`` (or ``make bench ARGS="--channels 16 --cells 8 --batch 16"``). All variants are timed in one
process, in turn, several rounds; a ratio is the median over rounds of (variant / plain in the same round), since
machines are noisy.
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
from torch import Tensor

from dsrna.functional.seeding import generator
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.hypergradient import Hypergradient, InnerStep
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.unrolled import Unrolled

VARIANTS: dict[str, tuple[Hypergradient, RobustnessMetric | None]] = {
    "first order, no metric": (FirstOrder(), None),
    "unrolled exact, no metric": (Unrolled("exact"), None),
    "unrolled finite difference, no metric": (Unrolled("finite_difference"), None),
    "jacobian, 1 class, central difference": (FirstOrder(), JacobianNorm("l2", "classes")),
    "jacobian, 1 class, autograd": (FirstOrder(), JacobianNorm("l2", "classes", derivative="autograd")),
    "jacobian, 1 projection, central difference": (
        FirstOrder(),
        JacobianNorm("l2", "projection", derivative="central_difference"),
    ),
    "jacobian, exact (10 classes), autograd": (FirstOrder(), JacobianNorm("l2", "exact", derivative="autograd")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    steps = {name: step_of(*variant, chosen) for name, variant in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # the first call of each is not measured
    for _ in range(chosen.rounds):
        for name, step in steps.items():
            seconds[name].append(timed(step, chosen.device))
    show(seconds, chosen)


def step_of(
    hypergradient: Hypergradient, metric: RobustnessMetric | None, chosen: argparse.Namespace
) -> Callable[[], list[Tensor]]:
    """One architecture step's gradient, on the same supernet and images for every variant."""
    torch.manual_seed(0)
    space, strategy = DartsSpace(), PCDarts(partial_channels=4)
    supernet = space.supernet(
        shape=(3, chosen.size, chosen.size),
        classes=10,
        cells=chosen.cells,
        channels=chosen.channels,
        partial_channels=4,
    )
    model = RelaxedSupernet(supernet, strategy.initial(space, generator(0, "alphas"))).to(chosen.device)
    x = torch.rand(2, chosen.batch, 3, chosen.size, chosen.size).to(chosen.device)
    y = torch.randint(10, (2, chosen.batch)).to(chosen.device)
    alphas, weights = list(model.architecture.parameters()), list(model.supernet.parameters())
    with torch.no_grad():
        for _ in range(50):  # running statistics as after some training, without which the metric sees another network
            model(x[0])

    def objective() -> Tensor:
        loss = F.cross_entropy(model(x[1]), y[1])
        return loss if metric is None else loss - 0.01 * metric(model, x[1], y[1], generator(0, "metric")).mean()

    def step() -> list[Tensor]:
        with batchnorm_statistics_frozen(model):
            inner = InnerStep(0.025, 0.9, 3e-4)
            return hypergradient(
                objective, lambda: F.cross_entropy(model(x[0]), y[0]), alphas, weights, inner
            ).gradients

    return step


def timed(step: Callable[[], list[Tensor]], device: str) -> float:
    began = time.perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def show(seconds: dict[str, list[float]], chosen: argparse.Namespace) -> None:
    plain = next(iter(seconds.values()))
    where = (
        torch.cuda.get_device_name() if chosen.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    )
    table = Table(
        title=f"architecture step, PC-DARTS supernet C{chosen.channels}, {chosen.cells} cells, batch {chosen.batch}, "
        f"{chosen.size}x{chosen.size}; torch {torch.__version__}, {where}, {platform.machine()}"
    )
    for column in ("variant", "times plain (median)", "min - max", "seconds (median)"):
        table.add_column(column)
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, plain, strict=True)]
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        table.add_row(name, f"{statistics.median(ratios):.2f}", spread, f"{statistics.median(values):.3f}")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
