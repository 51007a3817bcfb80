"""Whether the network in a run folder is the one in the file: their logits on the first 500 test images of CIFAR-10.

Run: ``python experiments/outside_networks/check.py RUN_FOLDER FILE DATA/cifar10.npz``. The file is run without dsrna:
an ONNX file by onnxruntime, a state dict in torchvision's ResNet-18; images are normalised here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torchvision.models import resnet18
from train_resnet18 import MEAN, STD

import dsrna


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("data", type=Path)
    chosen = parser.parse_args()
    with np.load(chosen.data) as arrays:
        x = torch.from_numpy(arrays["x_test"][:500]).permute(0, 3, 1, 2).float() / 255
        y = torch.from_numpy(arrays["y_test"][:500])
    with torch.no_grad():
        ours = dsrna.load(chosen.run)(x)
        theirs = logits(chosen.file, (x - MEAN) / STD)
    print(f"largest difference of a logit {(ours - theirs).abs().max():.2g}, of {theirs.abs().max():.2g}")
    for name, found in (("dsrna", ours), ("the file", theirs)):
        print(f"{name}: {100 * (found.argmax(1) == y).double().mean():.1f} % of the first 500 test images")


def logits(file: Path, normalised: torch.Tensor) -> torch.Tensor:
    """(N, 10) of the network in a file."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        name = session.get_inputs()[0].name
        return torch.cat([torch.from_numpy(session.run(None, {name: one[None].numpy()})[0]) for one in normalised])
    weights = torch.load(file, weights_only=True)
    model = resnet18(num_classes=10)
    model.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    found: torch.Tensor = model.eval()(normalised)
    return found


if __name__ == "__main__":
    main()
