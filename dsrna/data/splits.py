"""Deterministic, stratified, disjoint splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from dsrna.data.images import ImageDataset
from dsrna.data.source import Source, Statistics
from dsrna.errors import ConfigError, DataError
from dsrna.functional.seeding import generator

_FEWEST_PER_CLASS = 2
_SAMPLE_WHEN_DECODING = 5_000


@dataclass(frozen=True)
class Splits:
    """What a run trains on, selects by, and reports on.

    Attributes:
        name: short name of the data set.
        origin: one phrase for tables, e.g. ``"scikit-learn digits, 1,797 scans"``.
        train: images that network weights (and, in the search, alphas) learn from.
        validation: images that only choose among checkpoints; the data set's own validation part, or taken from the
            official training part.
        test: the official test part, touched by the final evaluation alone.
        mean, std: per channel, of the training split's pixels in [0, 1], for the network's normalisation layer.
        class_names: a name for each class, by label.
    """

    name: str
    origin: str
    train: ImageDataset
    validation: ImageDataset
    test: ImageDataset
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Stands for the images of all three parts, wherever they were read from."""
        parts = " ".join(part.digest() for part in (self.train, self.validation, self.test))
        return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def split(
    source: Source,
    validation_fraction: float,
    seed: int,
    train_limit: int | None = None,
    test_limit: int | None = None,
) -> Splits:
    """Splits the official training part in two; every class has the same share of each, within one image.

    A data set with a validation part of its own keeps it: nothing is taken from its training part.

    Args:
        source: the data set.
        validation_fraction: share of the official training part that becomes the validation split, in (0, 1); has no
            effect where the data set has a validation part.
        seed: the run's seed; it chooses which images are validated on.
        train_limit: use at most this many images of the official training part (before it is split), class by class
            in proportion, and the same share of a validation part; None: all.
        test_limit: the same for the test part. Which images these are does not depend on ``seed``.

    Raises:
        ConfigError: a setting is out of range.
        DataError: fewer than two images of some class are left for training or validation.
    """
    _check_fraction(validation_fraction, "validation_fraction", "data.validation_fraction")
    official = _limited(source.train, train_limit, seed, "train_limit")
    if source.validation is None:
        count = round(validation_fraction * len(official))
        held_out, kept = stratified(official.labels, count, generator(seed, "validation split"))
        train, validation = official.subset(kept), official.subset(held_out)
        advice = "Raise data.train_limit, change data.validation_fraction, or add images."
    else:
        share = round(len(source.validation) * len(official) / len(source.train))
        train, validation = official, _limited(source.validation, max(1, share), seed, "validation_limit")
        advice = "Raise data.train_limit, or add images."
    names = source.class_names or tuple(str(label) for label in range(train.classes))
    _check_every_class(train, "training split", names, advice)
    _check_every_class(validation, "validation split", names, advice)
    mean, std = source.statistics or _statistics(train)
    test = _limited(source.test, test_limit, 0, "test_limit")  # not `seed`: results of two seeds must be comparable
    return Splits(source.name, source.origin, train, validation, test, mean, std, names)


def search_halves(splits: Splits, seed: int, fraction: float = 0.5) -> tuple[ImageDataset, ImageDataset]:
    """The images for weight steps and for architecture steps: two stratified parts of ``splits.train``.

    ``splits.validation`` is left out on purpose: it chooses the retrain stage's checkpoint, and that choice would be
    biased had the alphas been fitted to it.

    Args:
        splits: as :func:`split` gives them.
        seed: the run's seed.
        fraction: share of the training split for weight steps, in (0, 1).

    Returns:
        (weights half, architecture half), disjoint, together the whole of ``splits.train``.

    Raises:
        ConfigError: ``fraction`` is out of range.
        DataError: a half has fewer than two images of some class.
    """
    _check_fraction(fraction, "weights_fraction", "search.weights_fraction")
    count = round(fraction * len(splits.train))
    chosen, rest = stratified(splits.train.labels, count, generator(seed, "search halves"))
    halves = splits.train.subset(chosen), splits.train.subset(rest)
    for half, name in zip(halves, ("weight-step half", "architecture-step half"), strict=True):
        _check_every_class(half, name, splits.class_names, "Raise data.train_limit, or add images.")
    return halves


def stratified(labels: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws ``count`` of M items; class k of size M_k gives floor or ceil of count * M_k / M (largest remainders).

    Args:
        labels: (M,) int64, >= 0.
        count: how many to draw, in 0..M.
        generator: where the draw comes from.

    Returns:
        Indices of the chosen items (count,) and of the rest (M - count,), each ascending.
    """
    sizes = labels.bincount()
    shares = sizes * count
    take = shares // len(labels)  # in integers, so that no rounding of floats decides
    remainders = shares % len(labels)
    take[remainders.argsort(descending=True, stable=True)[: count - int(take.sum())]] += 1

    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]  # class by class, in random order within each
    rank_in_class = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    chosen = rank_in_class < take.repeat_interleave(sizes)
    return order[chosen].sort().values, order[~chosen].sort().values


def _limited(part: ImageDataset, limit: int | None, seed: int, key: str) -> ImageDataset:
    if limit is None or limit >= len(part):
        return part
    if limit < 1:
        raise ConfigError(f"Expected `{key}` to be at least 1, or null for all images, got {limit}. (conf: data.{key})")
    return part.subset(stratified(part.labels, limit, generator(seed, key))[0])


def _check_fraction(value: float, name: str, key: str) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"Expected `{name}` strictly between 0 and 1, got {value}. (conf: {key})")


def _check_every_class(part: ImageDataset, name: str, class_names: tuple[str, ...], advice: str) -> None:
    sizes = part.labels.bincount(minlength=part.classes)
    if sizes.min() < _FEWEST_PER_CLASS:
        label = int(sizes.argmin())
        raise DataError(
            f"Expected at least {_FEWEST_PER_CLASS} images of each of {part.classes} classes in the {name}, "
            f"got {int(sizes[label])} of class {class_names[label]} ({len(part)} images in all). {advice}"
        )


def _statistics(part: ImageDataset) -> Statistics:
    """Mean and standard deviation per channel; of an even sample where images must be decoded, of all otherwise.

    A constant channel gets one grey level (1/255) as its deviation, so that normalising never divides by zero.
    """
    count = min(len(part), _SAMPLE_WHEN_DECODING) if part.decodes else len(part)
    indices = torch.arange(count) * len(part) // count
    total = squares = torch.zeros(part.shape[0], dtype=torch.float64)
    for chunk in indices.split(500):
        x = part.batch(chunk)[0].double()
        total = total + x.sum((0, 2, 3))
        squares = squares + x.square().sum((0, 2, 3))
    pixels = count * part.shape[1] * part.shape[2]
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())
