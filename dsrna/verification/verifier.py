"""Verification of a network on many images."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

import dsrna
from dsrna.errors import SoundnessError
from dsrna.evaluation.clean_logits import clean_logits
from dsrna.evaluation.evaluator import EvaluationData
from dsrna.files import write_atomically
from dsrna.functional.precision import full_precision
from dsrna.functional.seeding import derive_seed
from dsrna.types import Threat
from dsrna.verification.certificates import Certificates
from dsrna.verification.certifier import Certifier
from dsrna.verification.measured import Progress, identity_of, images_of
from dsrna.verification.nearest_example import Examples, distances, nearest_examples
from dsrna.verification.settings import Verification
from dsrna.verification.summary import summarise
from dsrna.verification.verdict import Verdict
from dsrna.verification.verdict_file import VerdictFile

MISCLASSIFIED = Verdict(certified=0.0, attacked=0.0)


@full_precision()
def verify(
    model: nn.Module,
    data: EvaluationData | tuple[Tensor, Tensor],
    settings: Verification,
    *,
    seed: int,
    folder: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Certified accuracy and certified radii of a network, with what attacks leave of them.

    Every image gets two radii: within ``certified`` its class is proved not to change, and at the distance ``attacked``
    there is a misclassified point. Between the two nothing is known. Proofs and attacks don't know of each other; where
    they contradict each other, the bounds are wrong, and that is an error.

    A proof holds for the network in evaluation mode, for every point of the ball in [0, 1]: on real numbers, and as it
    is computed in the images' precision. What rounding can change is bounded from the magnitudes inside the network,
    and every certified radius is proved in float64. The bisection is CNN-Cert's with all wrong classes at once: 15
    steps in log eps, each one a power of e until the radius is between two tried ones.

    After every batch the verdicts so far are in ``folder/verification_<norm>.json``, and the same call goes on from
    there. An uninterrupted call ends with the same verdicts, except for images that a time limit stopped.

    Args:
        model: any network (N, C, H, W) -> logits (N, K) of operations that the engines support (they name one that
            isn't); moved to ``device``, its modes are left as they are.
        data: images in [0, 1] with classes 0..K-1; two tensors x (M, C, H, W) and y (M,), or a data set.
        settings: radii, engines, limits.
        seed: of the attacks' random starts.
        folder: where the verdicts go.
        device: where the network runs.
        progress: called after every batch.

    Returns:
        Plain values: ``norm``, ``engines``, ``version`` (dsrna's), ``attack`` (label, engine, version, steps,
        restarts), ``seed``, ``images``, ``correct`` (how many are classified correctly), ``seconds``, ``bound_seconds``
        of them without attacks; ``curve``, for each eps ``certified`` and ``standing`` (not attacked successfully),
        shares of all images with Wilson's 95 % intervals, and ``undecided``, the share between them; ``radius``, over
        the correctly classified images, as CNN-Cert averages: ``mean`` and ``median`` of the certified radii, and of
        the distances of the misclassified points that were found; ``proved_by``, engine -> how many images' radii it
        proved; ``stopped``, reason -> how many images.

    Raises:
        DataError: there are no images, or they don't fit the network.
        UnsupportedError: an engine has no rule for an operation; the message names its place in the network.
        MissingPartError: an engine lacks its library.
        CheckpointError: ``folder`` holds results of another verification.
        NonFiniteError: the network's logits on clean images are not finite.
        SoundnessError: an image has a proof and a misclassified point within its radius; the message names the file
            that holds both.
    """
    model = model.to(device)
    dataset, images = images_of(model, data, settings.images)
    header = _header(model, dataset, settings, seed, images)
    file = VerdictFile(folder / f"verification_{settings.norm}.json", header, images)
    certifier = Certifier(model, settings, dataset.batch(torch.arange(1))[0].dtype)
    _show(progress, file, settings)
    while file.done < images:
        began = time.perf_counter()
        place = slice(file.done, min(file.done + settings.batch_size, images))
        x, y = (part.to(device) for part in dataset.batch(torch.arange(place.start, place.stop)))
        correct = (clean_logits(model, x, y, dataset.classes, place).argmax(dim=1) == y).cpu()
        right = correct.nonzero()[:, 0].to(x.device)
        x, y = x[right], y[right]
        certificates = certifier.certify(x, y)
        batch_seed = derive_seed(seed, "verification", place.start // settings.batch_size)
        examples = nearest_examples(model, x, y, settings, batch_seed)
        for image in (certificates.low >= examples.distance).nonzero()[:, 0].tolist():
            if _contradicts(certifier, certificates, examples, x, y, image):
                index = place.start + int(right[image])
                raise _contradiction(certifier, certificates, examples, x, y, image, index, folder)
            certificates.low[image] = math.nextafter(float(examples.distance[image]), 0.0)
        verdicts = iter(_verdicts(certificates, examples))
        file.append([next(verdicts) if one else MISCLASSIFIED for one in correct], time.perf_counter() - began)
        _show(progress, file, settings)
    return {
        "norm": settings.norm,
        "engines": list(settings.engines),
        "version": dsrna.__version__,
        "attack": _attack(settings),
        "seed": seed,
        "images": images,
        **summarise(file.verdicts, settings),
        "seconds": file.seconds,
    }


def _header(
    model: nn.Module, dataset: EvaluationData, settings: Verification, seed: int, images: int
) -> dict[str, Any]:
    # As JSON gives it back: lists, no tuples.
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
    return values | identity_of(model, dataset, images, seed) | {"attack": _attack(settings)}


def _attack(settings: Verification) -> dict[str, Any]:
    attack = settings.attack
    procedure = attack.procedure(Threat(settings.norm, 0))
    return {
        "label": attack.label,
        "engine": procedure.engine,
        "version": procedure.version,
        "steps": procedure.steps,
        "restarts": procedure.restarts,
    }


def _verdicts(certificates: Certificates, examples: Examples) -> list[Verdict]:
    return [
        Verdict(
            certified=certified,
            attacked=distance if math.isfinite(distance) else None,
            engine=certificates.engine[image],
            stopped=certificates.stopped(image),
            seconds=seconds,
        )
        for image, (certified, distance, seconds) in enumerate(
            zip(certificates.low.tolist(), examples.distance.tolist(), certificates.seconds.tolist(), strict=True)
        )
    ]


@torch.no_grad()
def _contradicts(
    certifier: Certifier, certificates: Certificates, examples: Examples, x: Tensor, y: Tensor, image: int
) -> bool:
    """Whether a point within the proved radius is misclassified, or only rounding makes it look so."""
    one = slice(image, image + 1)
    model, point, label = certifier.exact(examples.points[one], y[one])
    distance = distances(examples.points[one], x[one], certifier.norm)
    return bool(distance <= certificates.low[image]) and bool(model(point).argmax(dim=1) != label)


def _contradiction(
    certifier: Certifier,
    certificates: Certificates,
    examples: Examples,
    x: Tensor,
    y: Tensor,
    image: int,
    index: int,
    folder: Path,
) -> SoundnessError:
    """The error about an image, which is number ``image`` of the batch and ``index`` of the data set, once saved."""
    engine, certified = certificates.engine[image], float(certificates.low[image])
    distance = float(examples.distance[image])
    one = slice(image, image + 1)
    margins = certifier.lower_bounds(str(engine), x[one], y[one], certified)[0]
    path = folder / f"contradiction_{index}.npz"

    def write(file: IO[bytes]) -> None:
        np.savez(
            file,
            label=y[image].cpu().numpy(),
            image=x[image].cpu().numpy(),
            point=examples.points[image].cpu().numpy(),
            margins=margins.cpu().numpy(),
        )

    write_atomically(path, write)
    return SoundnessError(
        f"The bounds of {engine} are wrong: image {index} is proved within {certified:.6g}, and there is a "
        f"misclassified point at distance {distance:.6g}. No certified number of this engine can be trusted. Please "
        f"report it with {path}, which holds image, point, class and the lower bounds of the margins; leave the engine "
        "out to go on."
    )


def _show(progress: Progress | None, file: VerdictFile, settings: Verification) -> None:
    if progress is None or not file.done:
        return
    certified = [sum(verdict.at(eps) == "certified" for verdict in file.verdicts) / file.done for eps in settings.eps]
    numbers: dict[str, float | str] = {}
    if certified:
        numbers["certified"] = "/".join(f"{100 * share:.0f}" for share in certified) + " %"
    if settings.radius:
        numbers["radius"] = fmean(verdict.certified for verdict in file.verdicts)
    progress(file.done, file.images, numbers)
