"""Files for other readers: a derived network as it is exported, its logits on images, a property in both versions.

python experiments/vnncomp/write_files.py OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from dsrna.bounds.lowering.lower import lower
from dsrna.export.onnx_file import write_onnx
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.vnnlib import to_vnnlib
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.types import Threat

SHAPE = (1, 8, 8)


def main(out: Path) -> None:
    """Writes the files; the network has every operation of the space that DARTS_V1 has, and BatchNorm statistics."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = DartsSpace().network(published("DARTS_V1"), SHAPE, 10, 3, 4)
    for _ in range(3):
        network(torch.rand(16, *SHAPE))
    network.eval()
    x = torch.rand(3, *SHAPE)
    with torch.no_grad():
        logits = network(x)
    write_onnx(out / "network.onnx", lower(network, x, without_concat=True), x)
    write_onnx(out / "as_is.onnx", network, x)
    np.savez(out / "logits.npz", x=x.numpy(), logits=logits.numpy())
    claim = RobustnessProperty.around(x[0], int(logits[0].argmax()), 10, Threat("linf", 0.01))
    (out / "v1.vnnlib").write_text(to_vnnlib(claim))
    (out / "v2.vnnlib").write_text(to_vnnlib(claim, version="2.0", shape=SHAPE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
