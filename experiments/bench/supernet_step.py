"""What a search step costs: the published method transcribed, and the implementations of the supernet's edges.

Run: ``make bench`` (or ``make bench ARGS="--channels 8 --cells 5 --batch 32"``); with ``--grow FILE.png`` instead: how
the cost grows with channels, cells and batch, as a table and a picture. All variants are timed in one process in turn,
several rounds, the second of two steps each; a ratio is the median over rounds of (baseline / variant in the same
round). Memory is the largest resident set of a process of its own that takes two such steps, or the most that torch had
allocated on the GPU during a step (``--device cuda``; a step for which it doesn't suffice is named and left out).
``torch.compile`` is the batched form with every cell compiled by torch; that takes minutes, so it has to be named:
``--ways batched torch.compile``. ``--added noise --on 2`` gives the first edges of every cell one operation more.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import published_darts
import torch
import torch.nn.functional as F
from architecture_step import resident
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dsrna.errors import DsrnaError
from dsrna.functional.seeding import generator
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.freed_memory import keep_freed_memory
from dsrna.nn.modes import batchnorm_statistics_frozen, without_gradients
from dsrna.nn.operations import OPERATIONS
from dsrna.progress import Progress
from dsrna.spaces.darts.space import DARTS_PRIMITIVES, DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.hypergradient import InnerStep
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.unrolled import Unrolled

RATE = 0.025
STEPS = ("weight", "architecture", "unrolled", "jacobian projection", "jacobian class")
WAYS = ("published", "reference", "batched", "compiled", "torch.compile")
OURS = ("reference", "batched", "compiled")
GROWTH = {"channels": (4, 8, 16, 24, 32), "cells": (3, 5, 8, 11), "batch": (4, 8, 16, 32)}


class Size(NamedTuple):
    channels: int
    cells: int
    batch: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--partial-channels", type=int, default=1, help="K of PC-DARTS; leaves out the published way")
    parser.add_argument("--added", choices=sorted(OPERATIONS), help="one more operation; leaves out the published way")
    parser.add_argument("--on", type=int, default=14, help="on how many edges of every cell")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--bf16", action="store_true", help="weight steps of our ways under autocast")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["published", *OURS])
    parser.add_argument("--json", type=Path, help="a file for the seconds of every round and the memory")
    parser.add_argument("--grow", type=Path, help="a PNG; a JSON of the same name holds the numbers")
    parser.add_argument("--memory-of", nargs=2, help="prints the peak resident set in MiB of two such steps")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()  # as a run does
    size = Size(chosen.channels, chosen.cells, chosen.batch)
    if chosen.memory_of:
        way, step = chosen.memory_of
        run = Bench(size, chosen, (way,)).step(way, step)
        run()
        run()
        print(resident() if chosen.device == "cpu" else torch.cuda.max_memory_allocated() / 2**20)
    elif chosen.grow:
        grow(chosen)
    else:
        measured = measure(size, chosen)
        show(measured, size, chosen)
        if chosen.json:
            chosen.json.write_text(json.dumps(document(measured, size, chosen), indent=1) + "\n")
        if chosen.device == "cpu" and "reference" in chosen.ways:
            Console(width=130).print(floor(Bench(size, chosen, ("reference",))))


def space_with(added: str | None, on: int) -> DartsSpace:
    """DARTS's space, with an operation more on the first edges of every cell."""
    space = DartsSpace()
    if added is None:
        return space
    edges = [[*DARTS_PRIMITIVES, *([added] if index < on else [])] for index in range(len(space.edges("normal")))]
    return DartsSpace(primitives=(*DARTS_PRIMITIVES, added), operations=dict.fromkeys(space.cell_types, edges))


class Bench:
    """Networks of one size, all with the same images."""

    def __init__(self, size: Size, chosen: argparse.Namespace, ways: Sequence[str]) -> None:
        torch.manual_seed(0)
        self.device, self.bf16 = chosen.device, chosen.bf16
        self.x = torch.rand(2, size.batch, 3, 32, 32).to(self.device)
        self.y = torch.randint(10, (2, size.batch)).to(self.device)
        self.networks: dict[str, nn.Module] = {}
        if "published" in ways:
            published = published_darts.PublishedDarts(size.channels, size.cells, 10)
            self.networks["published"] = published.to(self.device)
        space = space_with(chosen.added, chosen.on)
        strategy = Darts() if chosen.partial_channels == 1 else PCDarts(chosen.partial_channels)
        supernet = space.supernet((3, 32, 32), 10, size.cells, size.channels, chosen.partial_channels)
        ours = RelaxedSupernet(supernet, strategy.initial(space, generator(0, "alphas")))
        for way in ways:
            if way != "published":
                self.networks[way] = copy.deepcopy(ours).to(self.device)
                use_implementation(self.networks[way], "batched" if way == "torch.compile" else way, self.device)
            if way == "torch.compile":
                torch._dynamo.config.recompile_limit = 8 * size.cells  # of the cells' forward in all: each is compiled
                for cell in self.networks[way].supernet.cells:
                    cell.compile()

    def step(self, way: str, kind: str) -> Callable[[], None]:
        network = self.networks[way]
        if isinstance(network, published_darts.PublishedDarts):
            return self._published(network, kind)
        return self._ours(network, kind)

    def _published(self, network: published_darts.PublishedDarts, kind: str) -> Callable[[], None]:
        weights = torch.optim.SGD(network.weights(), RATE, momentum=0.9, weight_decay=3e-4)
        alphas = torch.optim.Adam(network.alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        x, y = self.x, self.y
        steps = {
            "weight": lambda: published_darts.weight_step(network, weights, x[0], y[0]),
            "architecture": lambda: published_darts.architecture_step(network, alphas, x[1], y[1]),
            "unrolled": lambda: published_darts.unrolled_step(network, alphas, x, y, RATE),
        }
        return steps[kind]

    def _ours(self, network: RelaxedSupernet, kind: str) -> Callable[[], None]:
        weights, alphas = list(network.supernet.parameters()), list(network.architecture.parameters())
        of_weights = torch.optim.SGD(weights, RATE, momentum=0.9, weight_decay=3e-4, fused=True)
        of_alphas = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        metric: RobustnessMetric | None = None
        if kind.startswith("jacobian"):
            estimator = "projection" if kind == "jacobian projection" else "classes"
            metric = JacobianNorm("l2", estimator, derivative="central_difference")
        hypergradient = Unrolled("finite_difference") if kind == "unrolled" else FirstOrder()

        def loss(half: int) -> Tensor:
            return F.cross_entropy(network(self.x[half]), self.y[half])

        def weight_step() -> None:
            of_weights.zero_grad()
            with without_gradients(alphas), torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
                value = loss(0)
            value.backward()
            nn.utils.clip_grad_norm_(weights, 5.0)
            of_weights.step()

        def objective() -> list[Tensor]:
            yield loss(1)
            if metric is not None:
                yield -0.01 * metric(network, self.x[1], self.y[1], generator(0, "metric")).mean()

        def architecture_step() -> None:
            with batchnorm_statistics_frozen(network):
                inner = InnerStep(RATE, 0.9, 3e-4)
                found = hypergradient(objective, lambda: loss(0), alphas, weights, inner)
            for alpha, gradient in zip(alphas, found.gradients, strict=True):
                alpha.grad = gradient
            of_alphas.step()

        return weight_step if kind == "weight" else architecture_step


def measure(size: Size, chosen: argparse.Namespace) -> dict[tuple[str, str], tuple[list[float], float]]:
    """(way, step) -> seconds of each round, peak MiB."""
    ways = [
        way
        for way in chosen.ways
        if not (way == "published" and (chosen.partial_channels > 1 or chosen.added))
        and not (way == "compiled" and chosen.device != "cpu")
    ]
    pairs = [(way, step) for step in chosen.steps for way in ways if not (way == "published" and "jacobian" in step)]
    on_gpu = chosen.device == "cuda"
    with Progress("bench", len(pairs) * (chosen.rounds + 2)) as progress:
        memory = {}
        for pair in () if on_gpu else pairs:  # first, since a process counts the resident set of the one that starts it
            memory[pair] = memory_of(*pair)
            progress.advance(1, {"MiB": memory[pair]})
        bench = Bench(size, chosen, ways)
        steps = {pair: bench.step(*pair) for pair in pairs}
        for pair, step in list(steps.items()) if on_gpu else ():
            try:
                memory[pair] = allocated_by(step)
                once = seconds_of(step, chosen.device)
                print(f"{pair[1]}, {pair[0]}: {once:.3f} s, {memory[pair]:.0f} MiB", flush=True)  # where time runs out
                progress.advance(1, {"MiB": memory[pair]})
            except torch.OutOfMemoryError:
                print(f"left out, the GPU's memory doesn't suffice: {pair[0]}, {pair[1]}")
                del steps[pair]
                torch.cuda.empty_cache()
        gc.collect()
        gc.freeze()  # otherwise each way's steps search the other ways' networks for garbage
        seconds: dict[tuple[str, str], list[float]] = {pair: [] for pair in steps}
        for _ in range(chosen.rounds + 1):
            for pair, step in steps.items():
                step()  # caches and memory are then as in a search, where the step before was one of the same network
                seconds[pair].append(seconds_of(step, chosen.device))
                progress.advance(1, {"seconds": seconds[pair][-1]})
    return {pair: (values[1:], memory[pair]) for pair, values in seconds.items()}  # the first round warms up


def allocated_by(step: Callable[[], None]) -> float:
    """Peak MiB on the GPU during a step, after one that warms up; the other networks' weights are among them."""
    step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**20


def seconds_of(step: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def memory_of(way: str, step: str) -> float:
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", way, step]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise DsrnaError(f"Measuring the memory of {way}, {step} failed:\n{outcome.stderr}")
    return float(outcome.stdout.split()[-1])


def ratios(baseline: list[float], variant: list[float]) -> list[float]:
    return [slow / fast for slow, fast in zip(baseline, variant, strict=True)]


def document(
    measured: dict[tuple[str, str], tuple[list[float], float]], size: Size, chosen: argparse.Namespace
) -> dict[str, Any]:
    steps = [
        {"way": way, "step": step, "seconds": seconds, "peak_mib": round(memory)}
        for (way, step), (seconds, memory) in measured.items()
    ]
    where_measured = {"torch": torch.__version__, "where": where(chosen), "partial_channels": chosen.partial_channels}
    where_measured |= {"added": chosen.added, "on": chosen.on if chosen.added else None}
    return {**size._asdict(), **where_measured, "steps": steps}


def show(measured: dict[tuple[str, str], tuple[list[float], float]], size: Size, chosen: argparse.Namespace) -> None:
    kind = "DARTS" if chosen.partial_channels == 1 else f"PC-DARTS (K = {chosen.partial_channels})"
    if chosen.added:
        kind += f" and {chosen.added} on {chosen.on} edges of a cell"
    table = Table(
        title=f"search step, {kind} supernet C{size.channels}, {size.cells} cells, batch {size.batch}, 32x32; torch "
        f"{torch.__version__}, {where(chosen)}"
    )
    baseline = "reference" if "reference" in chosen.ways else chosen.ways[0]
    against = f"times faster than {baseline}"
    for column in ("step", "way", "seconds", against, "min - max", "than published", "peak MiB"):
        table.add_column(column)
    for (way, step), (seconds, memory) in measured.items():
        row = [step, way, f"{statistics.median(seconds):.3f}"]
        if (baseline, step) in measured:
            times = ratios(measured[baseline, step][0], seconds)
            row += [f"{statistics.median(times):.2f}", f"{min(times):.2f} - {max(times):.2f}"]
        else:
            row += ["", ""]
        published = measured.get(("published", step))
        row.append(f"{statistics.median(ratios(published[0], seconds)):.2f}" if published else "")
        table.add_row(*row, f"{memory:.0f}", end_section=way == chosen.ways[-1])
    console = Console(width=130)
    console.print(table)
    plain = measured.get(("compiled", "architecture"))
    for step in ("unrolled", "jacobian projection", "jacobian class"):
        if plain and ("compiled", step) in measured:
            cost = statistics.median(ratios(measured["compiled", step][0], plain[0]))
            console.print(f"compiled, {step}: {cost:.2f} times the compiled plain architecture step")


def where(chosen: argparse.Namespace) -> str:
    if chosen.device == "cuda":
        return torch.cuda.get_device_name() + (", weight steps in bf16" if chosen.bf16 else "")
    return f"{chosen.threads} CPU threads, {platform.machine()}"


def floor(bench: Bench) -> str:
    """What the machine could do: products of large matrices, copies, and a weight step at the rate of the former."""
    square = torch.rand(1024, 1024)
    large = torch.rand(64 << 20)
    to = torch.empty_like(large)
    multiply = min(seconds_of(lambda: torch.mm(square, square), "cpu") for _ in range(10))
    copied = min(seconds_of(lambda: to.copy_(large), "cpu") for _ in range(5))
    network = bench.networks["reference"]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(bench.x[0])
    rate, work = 2 * 1024**3 / multiply, 3 * counter.get_total_flops()
    return (
        f"here: {rate / 1e9:.0f} GFLOP/s in products of large matrices, {8 * large.numel() / copied / 1e9:.0f} GB/s in "
        f"copies; a weight step is {work / 1e9:.1f} GFLOP (three forward passes), {work / rate:.3f} s at that rate"
    )


def grow(chosen: argparse.Namespace) -> None:
    middle = Size(8, 5, 16)
    numbers = []
    sizes = [(axis, middle._replace(**{axis: value})) for axis, values in GROWTH.items() for value in values]
    with Progress("growth", len(sizes) * 2) as progress:
        for axis, size in sizes:
            bench = Bench(size, chosen, OURS)
            for kind in ("weight", "architecture"):
                steps = {way: bench.step(way, kind) for way in OURS}
                seconds: dict[str, list[float]] = {way: [] for way in steps}
                for _ in range(chosen.rounds + 1):
                    for way, step in steps.items():
                        seconds[way].append(seconds_of(step, chosen.device))
                medians = {way: statistics.median(values[1:]) for way, values in seconds.items()}
                numbers.append({"axis": axis, "value": getattr(size, axis), "step": kind, **medians})
                progress.advance(1, {"times": medians["reference"] / medians["compiled"]})
    chosen.grow.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
    table = Table(title=f"search step around {middle}; torch {torch.__version__}, {chosen.threads} CPU threads")
    for column in ("axis", "value", "step", "reference, s", "batched, s", "compiled, s", "times faster"):
        table.add_column(column)
    for row in numbers:
        numbers_of = [row[way] for way in OURS]
        times = f"{numbers_of[0] / numbers_of[-1]:.2f}"
        table.add_row(row["axis"], str(row["value"]), row["step"], *(f"{each:.3f}" for each in numbers_of), times)
    Console(width=130).print(table)
    draw(numbers, middle, chosen.grow)


def draw(numbers: list[dict[str, Any]], middle: Size, path: Path) -> None:
    figure, panels = plt.subplots(1, len(GROWTH), figsize=(11, 4), sharey=True)
    for panel, axis in zip(panels, GROWTH, strict=True):
        for way, colour in (("reference", "tab:gray"), ("batched", "tab:orange"), ("compiled", "tab:blue")):
            for kind, style in (("weight", "-"), ("architecture", "--")):
                line = [(row["value"], row[way]) for row in numbers if (row["axis"], row["step"]) == (axis, kind)]
                panel.plot(*zip(*line, strict=True), style, color=colour, marker="o", label=f"{way}, {kind} step")
        fixed = ", ".join(f"{name} {value}" for name, value in middle._asdict().items() if name != axis)
        panel.set(xlabel=axis, title=fixed, yscale="log")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds a step")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=len(OURS))
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
