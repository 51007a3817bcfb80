"""What adversarial training and attacks cost, against a plain loop over plain modules.

Run: ``make bench-adversarial`` (or with ``ARGS="--channels 16 --cells 8 --batch 64"``). The network is the
one that the genotype DARTS_V2 gives. The plain loop calls ``backward`` on the loss in every attack step, weights
included, on a network of torch's convolutions in torch's default memory format; both ways see the same images. One
process, in turn, several rounds; a ratio is the median over rounds of (plain / ours in the same round).
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.functional.seeding import generator
from dsrna.nn.depthwise_conv import DepthwiseConv2d
from dsrna.nn.freed_memory import keep_freed_memory
from dsrna.nn.normalize import Normalize
from dsrna.objectives.adversarial import Adversarial
from dsrna.progress import Progress
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.types import Threat

EPS, STEP = 8 / 255, 2 / 255


class PlainNormalize(nn.Module):
    def __init__(self, of: Normalize) -> None:
        super().__init__()
        self.mean, self.std = of.mean, of.std

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def plain(network: nn.Module) -> nn.Module:
    """The same network without what makes ours fast."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Normalize):
                setattr(module, name, PlainNormalize(child))
            elif isinstance(child, DepthwiseConv2d):
                conv = nn.Conv2d(
                    child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding,
                    child.dilation, child.groups, bias=False,
                )  # fmt: skip
                conv.load_state_dict(child.state_dict())
                setattr(module, name, conv)
    return network


def plain_attack(network: nn.Module, x: Tensor, y: Tensor, steps: int) -> Tensor:
    moved = x + torch.empty_like(x).uniform_(-EPS, EPS)
    for _ in range(steps):
        moved = moved.detach().clamp(0, 1).requires_grad_()
        network.zero_grad()
        F.cross_entropy(network(moved), y).backward()
        moved = x + (moved.detach() + STEP * moved.grad.sign() - x).clamp(-EPS, EPS)
    return moved.clamp(0, 1).detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=2, help="of one round; an epoch has many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--torch-compile", action="store_true", help="adds the attack on a network that torch compiled")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()  # as a run does
    torch.manual_seed(0)
    network = DartsSpace().network(
        published("DARTS_V2"), shape=(3, 32, 32), classes=10, cells=chosen.cells, channels=chosen.channels
    )
    network = network.to(chosen.device)
    textbook = plain(network)
    x = torch.rand(chosen.batches, chosen.batch, 3, 32, 32).to(chosen.device)
    y = torch.randint(10, (chosen.batches, chosen.batch)).to(chosen.device)
    variants: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "PGD-7 adversarial training": (train_plainly(textbook, x, y), train(network, x, y)),
        "PGD-20 attack": (attack_plainly(textbook, x, y), attack(network, x, y)),
    }
    if chosen.torch_compile:
        by_torch = torch.compile(copy.deepcopy(network))
        began = time.perf_counter()
        attack(by_torch, x[:1], y[:1])()
        Console().print(f"torch.compile: the first attack takes {time.perf_counter() - began:.0f} s")
        variants["PGD-20 attack, torch.compile"] = (attack_plainly(textbook, x, y), attack(by_torch, x, y))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with Progress("bench", (chosen.rounds + 1) * len(variants)) as progress:
        for _ in range(chosen.rounds + 1):
            for name, (slow, fast) in variants.items():
                seconds[name].append((timed(slow, chosen.device), timed(fast, chosen.device)))
                progress.advance(1, {"times": seconds[name][-1][0] / seconds[name][-1][1]})
    table = Table(
        title=f"DARTS_V2, C{chosen.channels}, {chosen.cells} cells, batch {chosen.batch}; torch {torch.__version__}, "
        f"{chosen.threads} CPU threads, {platform.machine()}"
    )
    for column in ("work", "plain loop, seconds a batch", "dsrna", "times faster (median)", "min - max"):
        table.add_column(column)
    for name, rounds in seconds.items():
        counted = rounds[1:]  # the first round warms up
        ratios = [slow / fast for slow, fast in counted]
        slow, fast = (statistics.median(side) / chosen.batches for side in zip(*counted, strict=True))
        row = [f"{slow:.3f}", f"{fast:.3f}", f"{statistics.median(ratios):.2f}"]
        table.add_row(name, *row, f"{min(ratios):.2f} - {max(ratios):.2f}")
    Console(width=120).print(table)


def train_plainly(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def epoch() -> None:
        for images, classes in zip(x, y, strict=True):
            moved = plain_attack(network.train(), images, classes, 7)
            optimizer.zero_grad()
            F.cross_entropy(network(moved), classes).backward()
            optimizer.step()

    return epoch


def train(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    objective = Adversarial(Threat("linf", EPS), steps=7, step_size=STEP)

    def epoch() -> None:
        for images, classes in zip(x, y, strict=True):
            network.train()
            result = objective.result(network, lambda x: (network(x), None), images, classes, generator(0, "bench"))
            optimizer.zero_grad()
            result.loss.backward()
            optimizer.step()

    return epoch


def attack_plainly(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    def all_batches() -> None:
        for images, classes in zip(x, y, strict=True):
            plain_attack(network.eval(), images, classes, 20)

    return all_batches


def attack(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    pgd = PGD("linf", EPS, STEP, steps=20)

    def all_batches() -> None:
        for images, classes in zip(x, y, strict=True):
            pgd(network, images, classes, generator(0, "bench"))

    return all_batches


def timed(work: Callable[[], None], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
