"""CIFAR-10 in a few WebP pictures, for a machine that can't fetch it and to which little can be carried.

Run: ``python experiments/gpu/images.py pack ROOT FOLDER`` here, ``… unpack FOLDER ROOT`` there. ``pack`` reads
``ROOT/cifar10.npz`` or the official files and says the size and the peak signal-to-noise ratio; ``unpack`` writes
``ROOT/cifar10.npz``, which ``data=cifar10 data.root=ROOT`` reads. The images are recompressed, with loss: what is
measured on them is measured on "CIFAR-10 (WebP)".
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dsrna.data.torchvision_sets import load_cifar10

SIDE, ACROSS, IN_PICTURE = 32, 100, 10_000
"""Pixels of an image, images in a row of a picture, images in a picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--quality", type=int, default=95, help="of WebP, 1 to 100")
    chosen = parser.parse_args()
    chosen.target.mkdir(parents=True, exist_ok=True)
    if chosen.what == "pack":
        pack(chosen.source, chosen.target, chosen.quality)
    else:
        unpack(chosen.source, chosen.target)


def pack(root: Path, folder: Path, quality: int) -> None:
    """Writes ``{train,test}_{0,1,…}.webp`` and ``labels.npz`` into ``folder``."""
    source = load_cifar10(str(root), download=False)
    labels, error, total = {}, 0.0, 0
    for part, images in (("train", source.train), ("test", source.test)):
        x, y = images.batch(torch.arange(len(images)))
        pixels = x.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        labels[f"y_{part}"] = y.numpy().astype(np.uint8)
        for number in range(math.ceil(len(pixels) / IN_PICTURE)):
            some = pixels[number * IN_PICTURE : (number + 1) * IN_PICTURE]
            file = folder / f"{part}_{number}.webp"
            Image.fromarray(together(some)).save(file, quality=quality, method=6)
            error += float(((read(file, len(some)).astype(np.float64) - some) ** 2).mean()) * len(some)
            total += len(some)
    np.savez_compressed(folder / "labels.npz", **labels)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    ratio = 10 * math.log10(255**2 * total / error)
    print(f"{total} images at quality {quality}: {size:.1f} MiB, peak signal-to-noise ratio {ratio:.2f} dB")


def unpack(folder: Path, root: Path) -> None:
    """Writes ``root/cifar10.npz``."""
    arrays: dict[str, np.ndarray] = {}
    with np.load(folder / "labels.npz") as labels:
        for part in ("train", "test"):
            arrays[f"y_{part}"] = labels[f"y_{part}"].astype(np.int64)
            count = len(arrays[f"y_{part}"])
            pictures = [
                read(folder / f"{part}_{number}.webp", min(IN_PICTURE, count - number * IN_PICTURE))
                for number in range(math.ceil(count / IN_PICTURE))
            ]
            arrays[f"x_{part}"] = np.concatenate(pictures)
    partial = root / "cifar10.partial.npz"
    np.savez(partial, **arrays)
    partial.rename(root / "cifar10.npz")
    print(f"{len(arrays['x_train'])} training and {len(arrays['x_test'])} test images in {root / 'cifar10.npz'}")


def together(images: np.ndarray) -> np.ndarray:
    """(M, 32, 32, 3) -> one picture of 100 images in each row; the last row is filled up with black."""
    rows = math.ceil(len(images) / ACROSS)
    filled = np.zeros((rows * ACROSS, SIDE, SIDE, 3), dtype=np.uint8)
    filled[: len(images)] = images
    return filled.reshape(rows, ACROSS, SIDE, SIDE, 3).swapaxes(1, 2).reshape(rows * SIDE, ACROSS * SIDE, 3)


def read(file: Path, count: int) -> np.ndarray:
    """The first ``count`` images of a picture, (count, 32, 32, 3)."""
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    rows = len(pixels) // SIDE
    apart = pixels.reshape(rows, SIDE, ACROSS, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
    return apart[:count]


if __name__ == "__main__":
    main()
