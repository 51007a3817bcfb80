"""The default data set: handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch

from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.data.splits import stratified
from dsrna.functional.seeding import generator

_TEST_IMAGES = 360  # a fifth


def load_digits() -> Source:
    """1,797 grayscale scans of 8x8 pixels in 10 classes; no download, no file.

    Pixel values 0..16 become round(255 v / 16). The data set has no official split: the test part is a stratified fifth
    (360 scans) that is the same in every run, whatever its seed.

    Reference: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Repository, 1998.
    """
    from sklearn.datasets import load_digits as load_scans

    scans = load_scans()
    pixels = np.rint(scans.images * 255 / 16).astype(np.uint8)
    images = ArrayImages(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(scans.target), classes=10)
    test, train = stratified(images.labels, _TEST_IMAGES, generator(0, "digits test part"))
    return Source("digits", "scikit-learn digits, 1,797 scans of 8x8 pixels", images.subset(train), images.subset(test))
