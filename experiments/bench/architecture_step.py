"""What an architecture step costs with each metric and hypergradient, as multiples of a plain first-order one.

Run: ``make bench-metrics`` (or ``make bench-metrics ARGS="--channels 16 --cells 8 --only certified"``), on the
reference implementation of the supernet. All variants are timed in one process, in turn, several rounds; a ratio is
the median over rounds of (variant / plain in the same round), since machines are noisy. Memory is the peak of one
step: on a GPU what torch allocated, on a CPU the largest resident set of a process of its own, which takes one step
with that variant (its libraries and the supernet are part of it).
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from dsrna.errors import DsrnaError
from dsrna.functional.seeding import generator
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.certified import Certified
from dsrna.metrics.combined import Combined
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.progress import Progress
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.hypergradient import Hypergradient, InnerStep
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.unrolled import Unrolled

Variant = Callable[[], tuple[Hypergradient, RobustnessMetric | None]]

PLAIN = "first order, no metric"
VARIANTS: dict[str, Variant] = {
    PLAIN: lambda: (FirstOrder(), None),
    "unrolled exact, no metric": lambda: (Unrolled("exact"), None),
    "unrolled finite difference, no metric": lambda: (Unrolled("finite_difference"), None),
    "jacobian, 1 class, central difference": lambda: (
        FirstOrder(),
        JacobianNorm("l2", "classes", derivative="central_difference"),
    ),
    "jacobian, 1 class, autograd": lambda: (FirstOrder(), JacobianNorm("l2", "classes", derivative="autograd")),
    "jacobian, 1 projection, central difference": lambda: (
        FirstOrder(),
        JacobianNorm("l2", "projection", derivative="central_difference"),
    ),
    "jacobian, 1 projection, autograd": lambda: (
        FirstOrder(),
        JacobianNorm("l2", "projection", derivative="autograd"),
    ),
    "jacobian, exact (10 classes), central difference": lambda: (
        FirstOrder(),
        JacobianNorm("l2", "exact", derivative="central_difference"),
    ),
    "jacobian, exact (10 classes), autograd": lambda: (
        FirstOrder(),
        JacobianNorm("l2", "exact", derivative="autograd"),
    ),
    "certified, ibp, margin": lambda: (FirstOrder(), Certified("linf", "ibp")),
    "certified, ibp, radius": lambda: (FirstOrder(), Certified("linf", "ibp", "radius")),
    "certified, crown_ibp, margin": lambda: (FirstOrder(), Certified("linf", "crown_ibp")),
    "combined (1 class, central difference; ibp, margin)": lambda: (FirstOrder(), Combined()),
}


class Work(NamedTuple):
    """What every variant works on."""

    model: RelaxedSupernet
    x: Tensor  # (2, N, C, H, W), for weights and for alphas
    y: Tensor  # (2, N)


class Measured(NamedTuple):
    """Of one variant: seconds of each round, and MiB."""

    seconds: list[float]
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--partial-channels", type=int, default=1, help="K of PC-DARTS; 1 is the supernet of DARTS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", default="", help="variants whose name contains this, and the plain one")
    parser.add_argument("--memory-of", help="prints the peak resident set in MiB of one step with the variant so named")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.memory_of is not None:
        step_of(VARIANTS[chosen.memory_of], work(chosen))()
        print(resident())
        return
    names = [name for name in VARIANTS if name == PLAIN or chosen.only in name]
    show(measure(names, chosen), chosen)


def measure(names: list[str], chosen: argparse.Namespace) -> dict[str, Measured]:
    on_gpu = chosen.device.startswith("cuda")
    with Progress("bench", len(names) * (chosen.rounds + 1)) as progress:
        memory = {}
        if not on_gpu:  # first, since a process counts the resident set of the one that starts it
            for name in names:
                memory[name] = memory_of(name)
                progress.advance(1, {"MiB": memory[name]})
        shared = work(chosen)
        steps = {name: step_of(VARIANTS[name], shared) for name in names}
        for name, step in steps.items():  # the first call of each is not timed
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            step()
            if on_gpu:
                memory[name] = torch.cuda.max_memory_allocated() / 2**20
                progress.advance(1, {"MiB": memory[name]})
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(chosen.rounds):
            for name, step in steps.items():
                seconds[name].append(timed(step, on_gpu))
                progress.advance(1, {"times plain": seconds[name][-1] / seconds[PLAIN][-1]})
    return {name: Measured(seconds[name], memory[name]) for name in names}


def work(chosen: argparse.Namespace) -> Work:
    """A supernet with the running statistics of its images, without which a metric sees another network."""
    torch.manual_seed(0)
    space = DartsSpace()
    strategy = Darts() if chosen.partial_channels == 1 else PCDarts(chosen.partial_channels)
    shape = (3, chosen.size, chosen.size)
    supernet = space.supernet(shape, 10, chosen.cells, chosen.channels, chosen.partial_channels)
    model = RelaxedSupernet(supernet, strategy.initial(space, generator(0, "alphas"))).to(chosen.device)
    x = torch.rand(2, chosen.batch, *shape).to(chosen.device)
    y = torch.randint(10, (2, chosen.batch)).to(chosen.device)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # averages over all batches alike
        norm.reset_running_stats()
    with torch.no_grad():
        model(x[0])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return Work(model, x, y)


def step_of(variant: Variant, shared: Work) -> Callable[[], list[Tensor]]:
    """One architecture step's gradient."""
    hypergradient, metric = variant()
    model, x, y = shared
    alphas, weights = list(model.architecture.parameters()), list(model.supernet.parameters())

    def objective() -> Tensor:
        loss = F.cross_entropy(model(x[1]), y[1])
        if metric is None:
            return loss
        metric.advance(0.0)
        return loss - 0.01 * metric(model, x[1], y[1], generator(0, "metric")).mean()

    def step() -> list[Tensor]:
        with batchnorm_statistics_frozen(model):
            inner = InnerStep(0.025, 0.9, 3e-4)
            return hypergradient(
                objective, lambda: F.cross_entropy(model(x[0]), y[0]), alphas, weights, inner
            ).gradients

    return step


def timed(step: Callable[[], list[Tensor]], on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def memory_of(name: str) -> float:
    """MiB of a process of its own, with the same settings."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise DsrnaError(f"Measuring the memory of `{name}` failed:\n{outcome.stderr}")
    return float(outcome.stdout.split()[-1])


def resident() -> float:
    """Largest resident set of this process so far, in MiB."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (2**20 if sys.platform == "darwin" else 2**10)


def show(measured: dict[str, Measured], chosen: argparse.Namespace) -> None:
    plain = measured[PLAIN]
    where = (
        torch.cuda.get_device_name() if chosen.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    )
    kind = "DARTS" if chosen.partial_channels == 1 else f"PC-DARTS (K = {chosen.partial_channels})"
    table = Table(
        title=f"architecture step, {kind} supernet C{chosen.channels}, {chosen.cells} cells, batch {chosen.batch}, "
        f"{chosen.size}x{chosen.size}; torch {torch.__version__}, {where}, {platform.machine()}"
    )
    for column in ("variant", "times plain (median)", "min - max", "seconds (median)", "peak MiB", "times plain"):
        table.add_column(column)
    for name, (seconds, memory) in measured.items():
        ratios = [value / base for value, base in zip(seconds, plain.seconds, strict=True)]
        table.add_row(
            name,
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} - {max(ratios):.2f}",
            f"{statistics.median(seconds):.3f}",
            f"{memory:.0f}",
            f"{memory / plain.memory:.2f}",
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
