"""The mean corruption error, by the normaliser that was published for ImageNet-C."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from dsrna.corruptions import CORRUPTIONS, SEVERITIES

ALEXNET = {
    "gaussian_noise": 0.886428, "shot_noise": 0.894468, "impulse_noise": 0.922640, "defocus_blur": 0.819880,
    "glass_blur": 0.826268, "motion_blur": 0.785948, "zoom_blur": 0.798360, "snow": 0.866816, "frost": 0.826572,
    "fog": 0.819324, "brightness": 0.564592, "contrast": 0.853204, "elastic_transform": 0.646056,
    "pixelate": 0.717840, "jpeg_compression": 0.606500,
}  # fmt: skip
"""AlexNet's errors on ImageNet-C, each the mean over five severities: as the benchmark's authors released them."""

NORMALISERS = {"alexnet": ALEXNET}
IMAGENET_CLASSES = 1000


def mean_corruption_error(records: Sequence[dict[str, Any]], normaliser: str | None) -> dict[str, Any] | None:
    """mCE = mean over the fifteen corruptions c of CE_c = sum_s E_{s,c} / sum_s E_{s,c}^AlexNet, E = 1 - accuracy.

    Without a normaliser CE_c is the mean error over severities, which is what is reported on CIFAR-10-C: nobody
    published AlexNet's errors there, and mCE = 1 - mean accuracy.

    Args:
        records: of every corruption at every severity, as
            :func:`dsrna.evaluation.corruption_accuracy.corruption_accuracies` has them; extra corruptions don't count.
        normaliser: ``"alexnet"`` or None.

    Returns:
        ``{"value": mCE, "normaliser": "alexnet" or None, "errors": {corruption: CE}}``: 1 is as bad as AlexNet, lower
        is better, more than 1 is possible; None unless all fifteen were measured at all five severities.

    References:
        Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
        2019, section 4.1.
    """
    found = {(one["corruption"], one["severity"]): 1 - one["accuracy"] for one in records}
    if not all((name, severity) in found for name in CORRUPTIONS for severity in SEVERITIES):
        return None
    means = {name: fmean(found[name, severity] for severity in SEVERITIES) for name in CORRUPTIONS}
    divisors = NORMALISERS[normaliser] if normaliser is not None else dict.fromkeys(CORRUPTIONS, 1.0)
    errors = {name: mean / divisors[name] for name, mean in means.items()}
    return {"value": fmean(errors.values()), "normaliser": normaliser, "errors": errors}
