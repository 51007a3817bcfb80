"""Verdicts on VNN-COMP 2021's cifar10_resnet, a JSON line a box; goes on where it was stopped.

python experiments/vnncomp/measure.py --net 2b --boxes FOLDER --seconds 300 --out verdicts_2b.jsonl [--only NAME …]
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import torch

from dsrna.bounds.beta_crown import BetaCrown
from dsrna.bounds.interval import Interval
from dsrna.export.vnnlib import from_vnnlib
from dsrna.functional.precision import full_precision
from dsrna.verification.onnx_network import OnnxNetwork


def main() -> None:
    """Decides the boxes one by one; float64, with allowance for the rounding of float32."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", required=True)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--layer-steps", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=32)
    parser.add_argument("--float32", action="store_true", help="bounds in float32, too; faster")
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor, on a machine that others use")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    chosen = parser.parse_args()
    dtype = torch.float32 if chosen.float32 else torch.float64
    network = OnnxNetwork(chosen.boxes / f"resnet_{chosen.net}.onnx").to(dtype).eval().requires_grad_(False)
    done = {json.loads(line)["box"] for line in chosen.out.read_text().splitlines()} if chosen.out.exists() else set()
    engine = BetaCrown(seconds=chosen.seconds, layer_steps=chosen.layer_steps, parallel=chosen.parallel).allowing_for(
        torch.float32
    )
    if chosen.cpu:
        engine.clock = time.process_time
    for path in sorted((chosen.boxes / f"boxes_{chosen.net}").iterdir()):
        name = path.name.removesuffix(".gz")
        if name in done or (chosen.only and name.split("_")[1] not in chosen.only):
            continue
        claim = from_vnnlib(gzip.decompress(path.read_bytes()).decode())
        began = engine.clock()
        lower, upper = (
            torch.tensor([float(value) for value in ends], dtype=torch.float64).view(1, *network.image_shape).to(dtype)
            for ends in (claim.lower, claim.upper)
        )
        box = Interval.between(lower, upper, engine.unit(lower))
        with full_precision():
            found = engine.decide(network, box, torch.tensor([claim.label]))
        verdict = "sat" if found.point is not None else "unsat" if bool((found.lower > 0).all()) else "unknown"
        line = {
            "net": chosen.net,
            "box": name,
            "verdict": verdict,
            "seconds": round(engine.clock() - began, 1),
            "cases": found.cases,
            "lowest": found.lower.min().item(),
        }
        with chosen.out.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
