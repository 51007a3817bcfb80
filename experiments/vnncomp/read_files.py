"""What readers of other makers make of the files of ``write_files.py``; those that aren't installed are left out.

    python experiments/vnncomp/read_files.py OUT

Needs nothing of dsrna: run it in an environment of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Read = Callable[[Path, np.ndarray], np.ndarray]
"""(ONNX file, an image (1, C, H, W)) -> its logits."""


def by_onnx2torch(path: Path, x: np.ndarray) -> np.ndarray:
    """By a module of onnx2torch."""
    import torch
    from onnx2torch import convert

    return np.asarray(convert(str(path)).eval()(torch.from_numpy(x)).detach())


def by_onnx2pytorch(path: Path, x: np.ndarray) -> np.ndarray:
    """By a module of onnx2pytorch."""
    import onnx
    import torch
    from onnx2pytorch import ConvertModel

    return np.asarray(ConvertModel(onnx.load(path)).eval()(torch.from_numpy(x)).detach())


def by_maraboupy(path: Path, x: np.ndarray) -> np.ndarray:
    """By Marabou's own evaluation of its equations."""
    from maraboupy import Marabou

    network: Any = Marabou.read_onnx(str(path))
    return np.asarray(network.evaluateWithMarabou([x])[0])


READERS: dict[str, Read] = {
    "onnx2torch": by_onnx2torch,
    "onnx2pytorch": by_onnx2pytorch,
    "maraboupy": by_maraboupy,
}


def main(folder: Path) -> None:
    """Prints the largest difference of logits by reader and file, and whether the properties parse."""
    held = np.load(folder / "logits.npz")
    for name, read in READERS.items():
        for file in ("network.onnx", "as_is.onnx"):
            try:
                outcome = f"{np.abs(read(folder / file, held['x'][:1]) - held['logits'][:1]).max():.1e}"
            except ModuleNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001 (whatever a reader raises is its answer)
                outcome = f"{type(error).__name__}: {str(error)[:100]}"
            sys.stdout.write(f"{name} {version(name)}, {file}: {outcome}\n")
    try:
        import vnnlib
    except ModuleNotFoundError:
        return
    for file in ("v1.vnnlib", "v2.vnnlib"):
        try:
            outcome = f"{len(vnnlib.parse_query_file(str(folder / file)).assertions)} assertions"
        except vnnlib.VNNLibException as error:
            outcome = str(error)[:100]
        sys.stdout.write(f"vnnlib {version('vnnlib')}, {file}: {outcome}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
