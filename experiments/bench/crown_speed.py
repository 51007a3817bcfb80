"""What CROWN costs on VNN-COMP 2021's cifar10_resnet, beside auto_LiRPA 0.7.1 in the same process.

Run with auto_LiRPA 0.7.1 on the path, where the networks and their boxes are:
``python experiments/bench/crown_speed.py VNNCOMP2021 --net 2b --images 12``. Prints seconds of the processor an image,
on one thread: images one by one, ours and theirs in turn, and ours in one batch; and by how much the bounds differ.
"""

from __future__ import annotations

import argparse
import gzip
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from dsrna.bounds.crown import Crown
from dsrna.bounds.interval import Interval
from dsrna.bounds.linear_relaxation import rows_over
from dsrna.export.vnnlib import from_vnnlib
from dsrna.verification.onnx_network import OnnxNetwork


def ours(network: nn.Module, low: Tensor, high: Tensor, label: Tensor) -> Tensor:
    """(N, K - 1) lower bounds of the margins."""
    engine, ball = Crown(), Interval.between(low, high)
    output = engine.relax(network, ball)
    return engine.least(output.node, rows_over(output, label)[0], ball)


def theirs(network: nn.Module, low: Tensor, high: Tensor, label: Tensor) -> Tensor:
    from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

    bounded = BoundedModule(network, low)  # traced once, which is not timed
    ball = BoundedTensor((low + high) / 2, PerturbationLpNorm(norm=math.inf, x_L=low, x_U=high))
    classes = torch.eye(10)
    matrix = (classes[label] - classes)[torch.arange(10) != label][None]
    began = time.process_time()
    lower, _ = bounded.compute_bounds(x=(ball,), C=matrix, method="CROWN", bound_upper=False)
    theirs.seconds.append(time.process_time() - began)  # type: ignore[attr-defined]
    return lower


def timed(call: Callable[[], Tensor]) -> tuple[Tensor, float]:
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with resnet_2b.onnx and boxes_2b/")
    parser.add_argument("--net", choices=["2b", "4b"], default="2b")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--only-ours", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    network = OnnxNetwork(chosen.folder / f"resnet_{chosen.net}.onnx").eval().requires_grad_(False)
    files = sorted((chosen.folder / f"boxes_{chosen.net}").iterdir())[: chosen.images]
    claims = [from_vnnlib(gzip.decompress(file.read_bytes()).decode()) for file in files]
    low, high = (
        torch.tensor([[float(end) for end in getattr(claim, side)] for claim in claims]).view(-1, 3, 32, 32)
        for side in ("lower", "upper")
    )
    labels = torch.tensor([claim.label for claim in claims])
    theirs.seconds = []  # type: ignore[attr-defined]
    alone, seconds = [], []
    for place in range(len(claims)):
        one = (low[place : place + 1], high[place : place + 1], labels[place : place + 1])
        found, spent = timed(lambda one=one: ours(network, *one))
        alone.append(found)
        seconds.append(spent)
        if not chosen.only_ours:
            other = theirs(network, *one)
            print(f"{place}: ours {spent:.2f} s, theirs {theirs.seconds[-1]:.2f} s")  # type: ignore[attr-defined]
            print(f"least margins: {found.min():.4g} and {other.min():.4g}")
    together, spent = timed(lambda: ours(network, low, high, labels))
    median, count = statistics.median(seconds), len(claims)
    print(f"ours alone {median:.2f} s an image, in a batch of {count} {spent / count:.2f} s")
    if theirs.seconds:
        print(f"auto_LiRPA alone {statistics.median(theirs.seconds):.2f} s an image")
    print(f"bounds in the batch and alone differ by {(together - torch.cat(alone)).abs().max():.2g} at most")


if __name__ == "__main__":
    main()
