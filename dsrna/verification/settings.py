"""What is to be verified, and with what effort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsrna.bounds.engines import COMPLETE_ENGINES, ENGINES, bound_engine
from dsrna.errors import ConfigError
from dsrna.evaluation.base import check_positive
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.spaces.names import unknown_name
from dsrna.types import Norm, Threat


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Settings of :func:`dsrna.verification.verify`.

    Args:
        engines: names of bound engines, tried from the cheapest to the tightest whatever the order here; an image that
            one of them decides doesn't reach the next.
        eps: radii at which every image gets a verdict, in [0, 1] pixel units, above 0.
        norm: ``"linf"`` or ``"l2"``.
        radius: also look for every image's largest certified radius, by bisection, and for the nearest misclassified
            point that attacks find.
        bisection_steps: bounds of that bisection for each image, at most; 15 is CNN-Cert's number.
        images: verify only this many of the first images; None: all.
        batch_size: images bounded and attacked at once. On a device that runs out of memory a batch is halved until
            it fits; an image that doesn't fit by itself stays undecided.
        seconds_per_image: an image on whose bounds so much time was spent gets no further ones; None: no limit. A
            bound that is being computed is not interrupted; images of a batch share its time equally.
        attack_steps: steps of the PGD that looks for misclassified points.
        attack_restarts: its restarts.

    Raises:
        ConfigError: a value is out of range.
    """

    engines: Sequence[str] = ("ibp", "crown_ibp", "crown")
    eps: Sequence[float] = ()
    norm: Norm = "linf"
    radius: bool = True
    bisection_steps: int = 15
    images: int | None = None
    batch_size: int = 32
    seconds_per_image: float | None = 60.0
    attack_steps: int = 40
    attack_restarts: int = 2

    def __post_init__(self) -> None:
        # The dataclass is frozen; it keeps its own, sorted copies of the two lists.
        object.__setattr__(self, "engines", tuple(_in_order(self.engines)))
        object.__setattr__(self, "eps", tuple(sorted(set(_checked_radii(self.norm, self.eps)))))
        if not isinstance(self.radius, bool):
            raise ConfigError(f"Expected `radius` to be true or false, got {self.radius!r}. (conf: radius)")
        if not self.eps and not self.radius:
            raise ConfigError("Expected radii, or `radius: true`, got neither: nothing to verify. (conf: eps)")
        for name in ("bisection_steps", "batch_size", "images", "attack_steps", "attack_restarts"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"Expected `{name}` to be a whole number >= 1, got {value!r}. (conf: {name})")
        check_positive(seconds_per_image=self.seconds_per_image)

    @property
    def attack(self) -> FoolboxPGD:
        """The attack that looks for misclassified points."""
        return FoolboxPGD(steps=self.attack_steps, restarts=self.attack_restarts)

    def check_engines(self) -> None:
        """Tries every engine on a tiny network. Raises MissingPartError where one lacks its library."""
        for name in self.engines:
            bound_engine(name, self.norm)


def _in_order(engines: Sequence[str]) -> list[str]:
    known = (*ENGINES, *COMPLETE_ENGINES)
    if isinstance(engines, str) or not isinstance(engines, Sequence) or not engines:
        raise ConfigError(f"Expected a list of engines out of {', '.join(known)}, got {engines!r}. (conf: engines)")
    for name in engines:
        if name not in known:
            raise ConfigError(f"{unknown_name('engine', name, known)}. (conf: engines)")
    return [name for name in known if name in engines]


def _checked_radii(norm: Norm, radii: Sequence[float]) -> list[float]:
    if isinstance(radii, str) or not isinstance(radii, Sequence):
        raise ConfigError(f"Expected a list of radii, got {radii!r}. (conf: eps)")
    for eps in radii:
        if isinstance(eps, bool) or not isinstance(eps, int | float):
            raise ConfigError(f"Expected radii that are numbers or fractions such as 8/255, got {eps!r}. (conf: eps)")
        check_positive(eps=eps)
    if norm not in ("linf", "l2"):
        raise ConfigError(f"Expected `norm` to be linf or l2, got {norm!r}. (conf: norm)")
    try:
        for eps in radii:
            Threat(norm, eps)
    except ConfigError as error:
        raise ConfigError(f"{error} (conf: eps)") from error
    return [float(eps) for eps in radii]
