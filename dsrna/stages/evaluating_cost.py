"""What the evaluate stage will cost: passes are counted, a batch of each kind is timed."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
from torch import nn

from dsrna.clock import working_seconds
from dsrna.config.settings import Settings
from dsrna.config.validate import threat_of, verification
from dsrna.data.images import ImageDataset
from dsrna.data.splits import Splits
from dsrna.errors import DsrnaError
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.evaluation.saved_examples import saved_bytes
from dsrna.functional.multiply_adds import multiply_adds
from dsrna.peak_memory import PeakMemory
from dsrna.stages.evaluation_cost import pass_seconds
from dsrna.stages.evaluation_passes import Measurement, attack_passes, counted_measurements, plain_measurements
from dsrna.stages.stage_cost import ONCE, CostRange, StageCost
from dsrna.training.fit import device_of
from dsrna.training.trained_network import Description, build_network
from dsrna.verification import Verification, verify

_AFFORDABLE = 4e10
"""Multiply-adds of a forward pass of a timed batch on a CPU: a second or a few."""
_VERIFIED = 2
"""Images, of an untrained network."""


def evaluating_cost(
    settings: Settings,
    splits: Splits,
    description: Description,
    networks: int = 1,
    others: CostRange = ONCE,
    undefended: int = 0,
) -> StageCost:
    """Of clean and attacked images, corruptions, rotations, smoothing and verification; at least as if every image fell
    to the first step of every attack, at most as if each withstood all of them.

    Args:
        settings: of the evaluation.
        splits: the data.
        description: of the network, whose weights don't matter, but where it is verified.
        networks: how many of them are evaluated.
        undefended: how many of these were trained without adversary, whose images are expected to fall at once.
        others: how many times its passes' cost another network may have that is evaluated in its place.
    """
    test, device = splits.test, device_of(settings.trainer.accelerator)
    network = build_network(description).to(device)
    batch_size = min(settings.evaluate.batch_size, len(test))
    count = batch_size if device.type != "cpu" else min(batch_size, _affordable(description))
    memory = PeakMemory(device)
    x, _ = test.batch(torch.arange(count))
    forward, backward = pass_seconds(network, x.to(device))
    grown = max(0, memory.bytes() - memory.before) * batch_size / count

    def seconds(found: list[Measurement]) -> tuple[float, float]:
        """In the network, and of the attacks' own arithmetic, once a batch."""
        inside = sum(one.images * (one.passes.forwards * forward + one.passes.backwards * backward) for one in found)
        return inside, sum(math.ceil(one.images / batch_size) * one.passes.seconds for one in found)

    plain, ends = seconds(plain_measurements(settings, splits))[0], []
    for withstands in (False, True):
        found, unknown = counted_measurements(settings, splits, withstands)
        pgd = attack_passes(FoolboxPGD(steps=20), threat_of(settings), test.shape, test.classes, withstands)
        checks = [Measurement("at a large eps", len(test), pgd), Measurement("by transfer", len(test), pgd)]
        ends.append(seconds([*found, *(checks if networks > 1 else checks[:1])]))
    (fewest, least), (most, longest) = ends
    inside = CostRange.between(plain + fewest, plain + most) * others
    whole = inside + CostRange.between(least, longest)
    notes = [f"a batch of {count} of {batch_size} images timed, passes of {len(test)} images counted"]
    if unknown:
        notes.append(f"without {', '.join(unknown)}, whose cost can't be told")
    if (verified := verification(settings)) is not None:
        more, note = _verification(network, test, verified, device)
        whole, notes = whole + more, [*notes, note]
    saved = saved_bytes(len(test), math.prod(test.shape), len(found)) if settings.evaluate.save_examples else 0
    outcomes = 2_000 * (len(found) + 2) + (len(test) + 100) * (len(found) + 2)  # a character an image
    return StageCost(
        whole * (networks - undefended) + CostRange(whole.low, whole.low, whole.expected) * undefended,
        CostRange(memory.before + grown, memory.before + grown, memory.before + 1.5 * grown),
        CostRange.between(outcomes, outcomes + saved) * networks,
        tuple(notes),
    )


def _verification(
    network: nn.Module, test: ImageDataset, verified: Verification, device: torch.device
) -> tuple[CostRange, str]:
    """Seconds of all verified images, as those of an untrained network: bounds of a trained one decide other images."""
    images = len(test) if verified.images is None else min(verified.images, len(test))
    count, limit = min(_VERIFIED, images), verified.seconds_per_image
    began = working_seconds(device)
    try:
        with tempfile.TemporaryDirectory() as folder:
            few = test.subset(torch.arange(count))
            verify(network.eval(), few, verified, seed=0, folder=Path(folder), device=device)
    except DsrnaError as error:
        return CostRange.exactly(0.0), f"without verification, which can't be rehearsed: {error}"
    each = (working_seconds(device) - began) / count
    most = max(each, each if limit is None else limit)
    return (
        CostRange(0.0, images * each, images * most),
        f"verification: {count} images of an untrained network timed; trained ones take another time",
    )


def _affordable(description: Description) -> int:
    """Images of a batch that a CPU can be asked to try."""
    try:
        with torch.device("meta"):
            network = build_network(description).eval()
            passed = multiply_adds(network, torch.zeros(1, *description.shape))
    except (RuntimeError, NotImplementedError, DsrnaError):  # what a file holds may need its values
        return 4
    return max(2, int(_AFFORDABLE / max(1, passed)))
