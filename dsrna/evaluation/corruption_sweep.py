"""Which corruptions accuracy is measured under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsrna.attacks.pgd import check_count
from dsrna.corruptions import CORRUPTIONS, SEVERITIES, check, check_images
from dsrna.errors import ConfigError
from dsrna.evaluation.corruption_error import IMAGENET_CLASSES
from dsrna.evaluation.published_images import open_published


@dataclass(frozen=True, kw_only=True)
class CorruptionSweep:
    """Settings of :func:`dsrna.evaluation.corruption_accuracy.corruption_accuracies`.

    Args:
        names: corruptions, or ``"all"`` for the fifteen of the benchmark.
        severities: out of 1 to 5.
        images: corrupt only this many of the first images; None: all.
        published: folder of the published images, ``NAME.npy`` and ``labels.npy`` (CIFAR-10-C) or
            ``NAME/SEVERITY/CLASS/*`` (ImageNet-C), to take instead of corrupting the test split; None: corrupt.
        normaliser: of the mean corruption error: ``"alexnet"``, whose errors were published for ImageNet-C alone;
            None: mean errors as they are; ``"auto"``: AlexNet where the images are published ones of 1,000 classes.

    Raises:
        ConfigError: a value is out of range.
    """

    names: str | Sequence[str] = "all"
    severities: Sequence[int] = SEVERITIES
    images: int | None = None
    published: str | None = None
    normaliser: Literal["auto", "alexnet"] | None = "auto"

    def __post_init__(self) -> None:
        names = CORRUPTIONS if self.names == "all" else self.names
        if isinstance(names, str) or not isinstance(names, Sequence) or not names:
            raise ConfigError(f"Expected `all` or a list of corruptions, got {self.names!r}. (conf: names)")
        if isinstance(self.severities, str) or not isinstance(self.severities, Sequence) or not self.severities:
            raise ConfigError(f"Expected a list of severities, got {self.severities!r}. (conf: severities)")
        for name in names:
            try:
                check(name, 1)
            except ConfigError as error:
                raise ConfigError(f"{error} (conf: names)") from error
        for severity in self.severities:
            try:
                check(names[0], severity)
            except ConfigError as error:
                raise ConfigError(f"{error} (conf: severities)") from error
        if self.images is not None:
            check_count("images", self.images)
        if self.normaliser not in ("auto", "alexnet", None):
            raise ConfigError(f"Expected `auto`, `alexnet` or null, got {self.normaliser!r}. (conf: normaliser)")
        if self.normaliser == "alexnet" and self.published is None:
            raise ConfigError(
                "AlexNet's errors are those on the published images of ImageNet-C: name their folder in `published`, "
                "or leave the errors as they are, normaliser=null. (conf: normaliser)"
            )
        # The dataclass is frozen; it keeps its own copies of the two lists.
        object.__setattr__(self, "names", tuple(dict.fromkeys(names)))
        object.__setattr__(self, "severities", tuple(sorted(set(self.severities))))

    def __len__(self) -> int:
        return len(self.names) * len(self.severities)

    def normalised_by(self, classes: int) -> str | None:
        """What the mean corruption error is divided by, for images of so many classes.

        Raises:
            ConfigError: AlexNet is asked for, and they aren't ImageNet's.
        """
        of_imagenet = self.published is not None and classes == IMAGENET_CLASSES
        if self.normaliser == "alexnet" and not of_imagenet:
            raise ConfigError(
                f"AlexNet's errors are those on ImageNet-C's {IMAGENET_CLASSES:,} classes, got images of {classes}. "
                "(conf: evaluate.corruptions.normaliser)"
            )
        return "alexnet" if of_imagenet and self.normaliser is not None else None

    def check_usable(self, shape: tuple[int, ...]) -> None:
        """Raises DataError unless images of shape (C, H, W) can be corrupted, or the published ones are there."""
        if self.published is None:
            check_images(self.names, shape)
        else:
            open_published(Path(self.published).expanduser(), shape[-1]).check_there(tuple(self.names))
