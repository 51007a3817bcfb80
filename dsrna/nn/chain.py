"""Networks as chains of parts, and networks in two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.errors import ConfigError
from dsrna.nn.normalize import Normalize

_AFFINE = (
    nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Conv2d, nn.Dropout, nn.Flatten, nn.Identity, nn.Linear, nn.Unflatten,
    Normalize, _BatchNorm,
)  # fmt: skip


class Link(NamedTuple):
    """A part of a network that is a chain.

    Attributes:
        part: takes what the part before gives; several values, where that gives a tuple.
        bends: whether it counts as a nonlinear layer.
    """

    part: nn.Module
    bends: bool


def links(network: nn.Module) -> list[Link]:
    """The parts that a network is made of, one after the other.

    Those of a ``nn.Sequential``, and of a network with a method ``links``; anything else is one part.

    Args:
        network: any module of one input.
    """
    if isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        return [link for part in network for link in links(part)]
    own: Any = getattr(network, "links", None)
    return [Link(network, not isinstance(network, _AFFINE))] if own is None else own()


class Divided(nn.Module):
    """A network as ``classifier(*features(x))``, of the network's own layers.

    The classifier begins behind a nonlinear layer, and has some of them itself: in a sequential network ReLUs, in one
    of cells these.

    Args:
        network: a chain, see :func:`links`.
        nonlinear: how many nonlinear layers the classifier has, >= 1.

    Raises:
        ConfigError: the network has no more than that, or it isn't known as a chain.
    """

    def __init__(self, network: nn.Module, nonlinear: int) -> None:
        super().__init__()
        found = links(network)
        bends = [place for place, link in enumerate(found) if link.bends]
        if len(bends) <= nonlinear:
            raise ConfigError(
                f"Expected a network of more than {nonlinear} nonlinear layers one after the other, to divide it "
                f"before the last {nonlinear}, got {type(network).__name__} with {len(bends)}. In a Sequential they "
                "are its ReLUs, in a network of cells the cells; a network of another kind counts as one. Set a "
                "smaller `classifier`, or take another objective. (conf: classifier)"
            )
        parts = [link.part for link in found]
        cut = bends[-nonlinear - 1] + 1
        self.features, self.classifier = _Parts(parts[:cut]), _Parts(parts[cut:])

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) to what the network gives, logits (N, K)."""
        (logits,) = self.classifier(*self.features(x))
        return logits


class _Parts(nn.Module):
    """Some parts of a chain: values -> values."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        for part in self.parts:
            value = part(*values)
            values = value if isinstance(value, tuple) else (value,)
        return values
