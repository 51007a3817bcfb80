"""Randomised smoothing: a certificate in l_2 by sampling, for networks too deep for bounds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

import dsrna
from dsrna.attacks import frozen
from dsrna.attacks.pgd import check_count
from dsrna.errors import ConfigError
from dsrna.evaluation.base import check_positive
from dsrna.evaluation.clean_logits import clean_logits
from dsrna.evaluation.evaluator import EvaluationData
from dsrna.evaluation.resumable_file import ResumableFile
from dsrna.functional.seeding import generator
from dsrna.verification.measured import Progress, identity_of, images_of
from dsrna.verification.summary import share_with_interval


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """Settings of :func:`certify_by_smoothing`.

    Args:
        sigma: standard deviation of the noise, in [0, 1] pixel units, above 0. The network should be trained on images
            with such noise (``retrain.noise``); larger ones prove larger radii of fewer images.
        eps: l_2 radii at which certified accuracy is given, above 0.
        selection_samples: noisy copies of an image that choose its class.
        samples: further copies that count how often the network gives that class. They limit the radius: 10,000 prove
            at most 3.2 sigma.
        failure: probability, for each image, that its certificate is wrong; in (0, 1).
        images: only this many of the first images; None: all.
        batch_size: copies in one pass.

    Raises:
        ConfigError: a value is out of range.
    """

    sigma: float = 0.25
    eps: Sequence[float] = (0.25, 0.5, 0.75, 1.0)
    selection_samples: int = 100
    samples: int = 10_000
    failure: float = 0.001
    images: int | None = 100
    batch_size: int = 1_000

    def __post_init__(self) -> None:
        check_positive(sigma=self.sigma)
        if not math.isfinite(self.sigma):
            raise ConfigError(f"Expected `sigma` to be finite, got {self.sigma:g}. (conf: sigma)")
        if not 0 < self.failure < 1:
            raise ConfigError(f"Expected `failure` between 0 and 1, got {self.failure:g}. (conf: failure)")
        for name in ("selection_samples", "samples", "batch_size"):
            check_count(name, getattr(self, name))
        if self.images is not None:
            check_count("images", self.images)
        if isinstance(self.eps, str) or not all(isinstance(eps, int | float) and eps > 0 for eps in self.eps):
            raise ConfigError(f"Expected `eps` to be a list of radii above 0, got {self.eps!r}. (conf: eps)")
        object.__setattr__(self, "eps", tuple(sorted({float(eps) for eps in self.eps})))


DECIDING = ("sigma", "selection_samples", "samples", "failure", "batch_size")
"""Settings that an image's result depends on; radii are read off what is known."""


@dataclass(frozen=True)
class Smoothed:
    """What is known of the smoothed classifier at one image.

    Attributes:
        correct: whether it gives the image's own class; False where it abstains.
        abstained: no class had more than half of the copies, with that certainty.
        radius: l_2 distance within which it keeps that class; 0 where it is wrong or abstains.
    """

    correct: bool
    abstained: bool
    radius: float


class _SmoothedFile(ResumableFile):
    schema = "dsrna.smoothed"

    def __init__(self, path: Path, header: dict[str, Any], images: int) -> None:
        self.found: list[Smoothed] = []
        super().__init__(path, header, images)

    @property
    def done(self) -> int:
        return len(self.found)

    def content(self) -> dict[str, Any]:
        return {"smoothed": [asdict(one) for one in self.found]}

    def restore(self, content: dict[str, Any]) -> bool:
        self.found = [Smoothed(**one) for one in content["smoothed"]]
        return True


def certify_by_smoothing(
    model: nn.Module,
    data: EvaluationData | tuple[Tensor, Tensor],
    settings: Smoothing,
    *,
    seed: int,
    folder: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Certified accuracy of the smoothed classifier, in l_2.

    The smoothed classifier gives the class that the network gives most often to an image with normal noise. It is
    another classifier than the network, and slower; what is certified is about it alone. An image's class is chosen by
    some noisy copies; of others, Clopper and Pearson's one-sided bound p says how often it has that class at least;
    within sigma * Phi^-1(p) of the image it keeps it. Where p is not above a half, it abstains. Each certificate is
    wrong with a probability of at most ``failure``.

    The noise is not cut with [0, 1], as the proof asks for. Each image has draws of its own, from the seed and its
    number. After every image what is known is in ``folder/smoothing.json``, and the same call goes on from there.

    Args:
        model: any network (N, C, H, W) -> logits (N, K); moved to ``device``.
        data: images in [0, 1] with classes 0..K-1; two tensors, or a data set.
        settings: the noise, how many copies, radii.
        seed: of the noise.
        folder: where the file goes.
        device: where the network runs.
        progress: called after every image.

    Returns:
        Plain values: ``sigma``, ``samples``, ``selection_samples``, ``failure``, ``version``, ``seed``, ``images``,
        ``correct`` and ``abstained`` (shares of the images), ``curve``: for each eps the share ``certified`` with
        Wilson's 95 % interval, ``radius``: the mean over all images, 0 for what is wrong or abstained (the average
        certified radius of the literature), ``seconds``.

    Raises:
        DataError: there are no images, or they don't fit the network.
        CheckpointError: ``folder`` holds results of something else.
        NonFiniteError: the network's logits are not finite.

    References:
        Cohen, Rosenfeld and Kolter, Certified Adversarial Robustness via Randomized Smoothing (ICML 2019), theorem 1
        and the algorithm CERTIFY.
    """
    model = model.to(device)
    dataset, images = images_of(model, data, settings.images)
    deciding = {name: getattr(settings, name) for name in DECIDING} | identity_of(model, dataset, images, seed)
    file = _SmoothedFile(folder / "smoothing.json", deciding, images)
    _show(progress, file)
    while file.done < images:
        began = time.perf_counter()
        x, y = (part.to(device) for part in dataset.batch(torch.tensor([file.done])))
        clean_logits(model, x, y, dataset.classes, slice(file.done, file.done + 1))  # refuses what doesn't fit
        draws = generator(seed, "smoothing", file.done)
        file.found.append(_certify_one(model, x, int(y), dataset.classes, settings, draws))
        file.save(time.perf_counter() - began)
        _show(progress, file)
    return {
        "norm": "l2",
        "sigma": settings.sigma,
        "samples": settings.samples,
        "selection_samples": settings.selection_samples,
        "failure": settings.failure,
        "version": dsrna.__version__,
        "seed": seed,
        "images": images,
        "correct": fmean(one.correct for one in file.found),
        "abstained": fmean(one.abstained for one in file.found),
        "curve": [_at(file.found, eps) for eps in settings.eps],
        "radius": fmean(one.radius for one in file.found),
        "seconds": file.seconds,
    }


def _certify_one(
    model: nn.Module, x: Tensor, label: int, classes: int, settings: Smoothing, draws: torch.Generator
) -> Smoothed:
    chosen = int(_votes(model, x, classes, settings.selection_samples, settings, draws).argmax())
    count = int(_votes(model, x, classes, settings.samples, settings, draws)[chosen])
    least = at_least(count, settings.samples, settings.failure)
    if least <= 0.5:
        return Smoothed(correct=False, abstained=True, radius=0.0)
    correct = chosen == label
    from scipy.stats import norm

    return Smoothed(correct, abstained=False, radius=settings.sigma * float(norm.ppf(least)) if correct else 0.0)


@torch.no_grad()
def _votes(
    model: nn.Module, x: Tensor, classes: int, samples: int, settings: Smoothing, draws: torch.Generator
) -> Tensor:
    """(K,) how many of so many noisy copies of an image (1, C, H, W) the network gives each class."""
    votes = torch.zeros(classes, dtype=torch.int64)
    with frozen(model):
        for start in range(0, samples, settings.batch_size):
            shape = (min(settings.batch_size, samples - start), *x.shape[1:])
            noise = torch.randn(shape, generator=draws, dtype=x.dtype).to(x.device)
            votes += model(x + settings.sigma * noise).argmax(dim=1).bincount(minlength=classes).cpu()
    return votes


def at_least(count: int, samples: int, failure: float) -> float:
    """Clopper and Pearson's lower bound of a probability, which is above it in at most ``failure`` of all cases.

    >>> round(at_least(99, 100, 0.001), 4)
    0.9114
    """
    from scipy.stats import binomtest

    return float(binomtest(count, samples, alternative="greater").proportion_ci(1 - failure, method="exact").low)


def _at(found: Sequence[Smoothed], eps: float) -> dict[str, Any]:
    certified, interval = share_with_interval(sum(one.radius >= eps for one in found), len(found))
    return {"eps": eps, "certified": certified, "certified_interval": interval, "images": len(found)}


def _show(progress: Progress | None, file: _SmoothedFile) -> None:
    if progress is not None and file.done:
        progress(file.done, file.images, {"radius": fmean(one.radius for one in file.found)})
