"""The types and ranges of plain settings, one line each."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

from dsrna.config.settings import STAGES, RunSettings
from dsrna.conforming import in_words, misfit, shown


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(*choices: str) -> tuple[str, Callable[[Any], bool]]:
    return ", ".join(choices[:-1]) + f" or {choices[-1]}", lambda value: value in choices


def from_one(limit: int) -> tuple[str, Callable[[Any], bool]]:
    """The range from 1 to ``limit``, far above what is of use: what is too much for any machine is no setting."""
    return f"at least 1, at most {limit:,}", lambda value: 1 <= value <= limit


Ranges = dict[tuple[str, ...], tuple[str, Callable[[Any], bool]]]

RANGES: Ranges = {
    ("name",): (
        "a name of letters, digits, dots, dashes and underscores, as it becomes part of a folder's name",
        lambda value: isinstance(value, str) and re.fullmatch(r"[\w.-]*\w[\w.-]*", value) is not None,
    ),
    ("seed",): ("a whole number in [0, 2**32)", lambda value: _whole(value) and 0 <= value < 2**32),
    ("stages",): (
        f"a list of stages, each once: stages=[{','.join(STAGES)}] or some of them",
        lambda value: isinstance(value, list) and len(value) == len(set(map(str, value))) > 0,
    ),
    ("resume",): _one_of("never", "auto"),
    ("out",): ("a folder", lambda value: isinstance(value, str) and value != ""),
    ("from",): ("the name of a file, a folder or a genotype", lambda value: value is None or isinstance(value, str)),
    ("search.epochs", "retrain.epochs", "certified.epochs", "retrain.selection_steps"): from_one(1_000_000),
    ("search.batch_size", "retrain.batch_size", "certified.batch_size", "evaluate.batch_size"): from_one(10_000_000),
    ("search.cells", "retrain.cells"): from_one(1_000),
    ("search.channels", "retrain.channels"): from_one(100_000),
    (
        "data.train_limit",
        "data.test_limit",
        "trainer.limits.epochs",
        "trainer.limits.batches",
        "trainer.limits.batch_size",
        "trainer.limits.test_images",
        "trainer.limits.cells",
        "trainer.limits.channels",
    ): ("at least 1, or null for no limit", lambda value: value is None or value >= 1),
    ("data.pixels",): ("at least 1, or null for the images as they are", lambda value: value is None or value >= 1),
    ("search.random_cells", "search.comparison_epochs"): ("0 to 10,000", lambda value: 0 <= value <= 10_000),
    ("search.weights_fraction", "data.validation_fraction"): ("a share in (0, 1)", lambda value: 0 < value < 1),
    (
        "search.warmup_epochs",
        "search.gradient_clip",
        "retrain.gradient_clip",
        "certified.gradient_clip",
        "retrain.cutout",
        "data.augmentation.crop_padding",
        "trainer.checkpoint_minutes",
    ): ("0 or more", lambda value: value >= 0),
    ("retrain.drop_path", "retrain.ema_decay"): ("a value in [0, 1)", lambda value: 0 <= value < 1),
    ("metric.weight",): (
        "a weight of 0 or more (R is a score, higher is more robust)",
        lambda value: (_whole(value) or isinstance(value, float)) and 0 <= value < math.inf,
    ),
    ("metric.warmup_epochs",): ("a whole number, 0 or more", lambda value: _whole(value) and 0 <= value <= 1_000_000),
    ("search.implementation",): _one_of("auto", "compiled", "batched", "textbook"),
    ("metric.weight_schedule",): _one_of("constant", "linear"),
    ("retrain.keep",): _one_of("best", "last"),
    ("logger.kind",): _one_of("none", "wandb", "tensorboard"),
    ("trainer.threads",): (
        "`auto` or a number of CPU threads, 1 to 1,024",
        lambda value: value == "auto" or (_whole(value) and 1 <= value <= 1024),
    ),
    ("trainer.progress",): _one_of("auto", "on", "off"),
    ("trainer.precision",): (
        "32-true, 64-true or bf16-mixed (fp16 needs loss scaling, which the architecture step's own gradients would "
        "not get)",
        lambda value: value in ("32-true", "64-true", "bf16-mixed"),
    ),
}
"""Keys -> what their values are, in words and as a test of values of the right type."""


def misfits(settings: RunSettings, ranges: Ranges = RANGES) -> Iterator[str]:
    """One message for each setting that isn't of its type. Nothing else can be said of such settings."""
    words = {key: f", {expected}" for keys, (expected, _) in ranges.items() for key in keys}
    for key, expected, value in _typed(settings):
        if misfit(value, expected) is not None:
            yield f"Expected {in_words(expected)}{words.get(key, '')}, got {shown(value)}. (conf: {key})"


def out_of_range(settings: RunSettings, ranges: Ranges = RANGES) -> Iterator[str]:
    """One message for each setting that is missing or not in its range."""
    for keys, (expected, good) in ranges.items():
        for key in keys:
            value = _value(settings, key)
            if not good(value):
                yield f"Expected {expected}, got {value!r}. (conf: {key})"


def _typed(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, type and value of every plain setting."""
    for name, expected in typing.get_type_hints(type(settings)).items():
        key, value = f"{prefix}{'from' if name == 'start_from' else name}", getattr(settings, name)
        if is_dataclass(value):
            yield from _typed(value, f"{key}.")
        else:
            yield key, expected, value


def _value(settings: RunSettings, key: str) -> Any:
    found: Any = settings
    for name in ("start_from" if key == "from" else key).split("."):
        found = found.get(name) if isinstance(found, dict) else getattr(found, name, None)
    return found
