"""Networks without cells, by name: dsrna's, torchvision's, timm's, a user's function or class, an ONNX or .pt2 file."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError, DsrnaError, MissingPartError
from dsrna.nn.chain import Link, links
from dsrna.nn.cnn7 import cnn7
from dsrna.nn.normalize import Normalize
from dsrna.nn.residual_networks import residual_network
from dsrna.training.exported_program import ExportedNetwork
from dsrna.verification.onnx_network import OnnxNetwork

FILES: dict[str, Callable[[bytes, str], nn.Module]] = {".onnx": OnnxNetwork, ".pt2": ExportedNetwork}
"""Files that hold a network with its weights, by their suffixes -> what reads their content, given their name."""
_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class ExternalDescription:
    """Everything that :func:`build_external` needs, of plain types.

    Attributes:
        model: ``dsrna:NAME``, ``torchvision:NAME``, ``timm:NAME``, ``MODULE:NAME``, or the name of a file.
        arguments: of the function or class.
        shape: (C, H, W) of its images.
        classes: number of classes.
        mean, std: of the normalisation before it, one number a channel in [0, 1] pixel units; None where it normalises
            by itself.
        content: of a file, its bytes (uint8).
    """

    model: str
    arguments: dict[str, Any]
    shape: list[int]
    classes: int
    mean: list[float] | None = None
    std: list[float] | None = None
    content: Tensor | None = None

    @property
    def is_own(self) -> bool:
        """Whether a function or class of the user's builds it, which may give it trained weights."""
        return self.content is None and self.model.partition(":")[0] not in _LIBRARIES

    @property
    def needs_trust(self) -> bool:
        """Whether who builds it must vouch for it: all but files and dsrna's or torchvision's models of numbers.

        Others import what they name, or read the files that their arguments name.
        """
        plain = all(isinstance(value, bool | int | float) for value in self.arguments.values())
        return self.content is None and not (self.model.startswith(("dsrna:", "torchvision:")) and plain)


class ExternalNetwork(nn.Module):
    """Logits (N, K) of images (N, C, H, W) in [0, 1], by somebody else's network.

    Args:
        inner: the network.
        mean, std: of the normalisation before it; None for none.
    """

    def __init__(self, inner: nn.Module, mean: list[float] | None = None, std: list[float] | None = None) -> None:
        super().__init__()
        self.normalize = nn.Identity() if mean is None or std is None else Normalize(mean, std)
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.inner(self.normalize(x))
        return logits

    def links(self) -> list[Link]:
        """Its parts one after the other, see :func:`dsrna.nn.chain.links`."""
        return [*links(self.normalize), *links(self.inner)]

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, None]:
        """As a derived network's, without an auxiliary head."""
        return self(x), None

    def set_drop_path(self, probability: float) -> None:
        """As a derived network's, which has paths to drop.

        Raises:
            ConfigError: the probability isn't 0.
        """
        if probability != 0:
            raise ConfigError("`model` has no paths that dsrna could drop: leave `drop_path` at 0. (conf: retrain)")


def build_external(description: ExternalDescription) -> ExternalNetwork:
    """The network, with the weights that its builder gives it.

    Args:
        description: what to build; whoever calls this vouches for the module that it names.

    Raises:
        ConfigError: there is no such module, function or model, it refuses the arguments, or what it gives isn't a
            network of these images and classes.
        DataError, UnsupportedError: a file isn't of its kind, or holds an operation that isn't known.
        MissingPartError: timm or onnx isn't installed.
    """
    network = ExternalNetwork(_inner(description), description.mean, description.std)
    _check_logits(network.eval(), description)
    return network.train()


def _inner(description: ExternalDescription) -> nn.Module:
    if description.content is not None:
        read = FILES[Path(description.model).suffix.lower()]
        return read(description.content.numpy().tobytes(), description.model)
    where, _, name = description.model.partition(":")
    if where in _LIBRARIES:
        return _LIBRARIES[where](name, description)
    if not _OWN.fullmatch(description.model):
        raise ConfigError(
            "Expected dsrna:NAME, torchvision:NAME, timm:NAME, MODULE:NAME of a function or class, or a file that "
            f"ends in {' or '.join(FILES)}, got {description.model!r}. (conf: model)"
        )
    try:
        found: Any = importlib.import_module(where)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"`{description.model}` can't be imported: {error}. Give MODULE:NAME, where `python -c 'import MODULE'` "
            "works in this folder. (conf: model)"
        ) from error
    built = found if isinstance(found, nn.Module) else _called(found, description.arguments, description.model)
    if not isinstance(built, nn.Module):
        raise ConfigError(
            f"Expected a torch.nn.Module of `{description.model}`, got {type(built).__name__}. (conf: model)"
        )
    return built


def _own(name: str, description: ExternalDescription) -> nn.Module:
    given: dict[str, Any] = {"classes": description.classes}
    function: Any = cnn7 if name == "cnn7" else residual_network
    if name == "cnn7":
        given["shape"] = tuple(description.shape)
    else:
        given |= {"name": name, "channels_in": description.shape[0]}
    built: nn.Module = _called(function, given | description.arguments, description.model)
    return built


def _torchvision(name: str, description: ExternalDescription) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(f"torchvision has no image classifier `{name}`.{_near(name, known)} (conf: model)")
    arguments = {"weights": None, "num_classes": description.classes} | description.arguments
    built: nn.Module = _called(models.get_model, {"name": name} | arguments, description.model)
    return built


def _timm(name: str, description: ExternalDescription) -> nn.Module:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise MissingPartError("`timm:` models need timm, not installed here: pip install timm") from error
    if not timm.is_model(name):
        raise ConfigError(f"timm has no model `{name}`.{_near(name, timm.list_models())} (conf: model)")
    arguments = {"num_classes": description.classes, "in_chans": description.shape[0]} | description.arguments
    built: nn.Module = _called(timm.create_model, {"model_name": name} | arguments, description.model)
    return built


def _near(name: str, known: Sequence[str]) -> str:
    found = get_close_matches(name, known, n=3, cutoff=0.5)
    return f" Near are: {', '.join(found)}." if found else ""


def _called(function: Any, arguments: dict[str, Any], model: str) -> Any:
    try:
        return function(**arguments)
    except DsrnaError:
        raise
    except Exception as error:  # somebody else's code fails in any way
        raise ConfigError(
            f"`{model}` can't be built: {type(error).__name__}: {error} (conf: model_arguments)"
        ) from error


def _check_logits(network: ExternalNetwork, description: ExternalDescription) -> None:
    """Refuses what doesn't give logits of these classes for two black images."""
    weight = next(chain(network.inner.parameters(), network.inner.buffers()), torch.zeros(()))
    images = torch.zeros(2, *description.shape, device=weight.device)
    try:
        with torch.no_grad():
            logits = network(images)
    except DsrnaError:
        raise
    except Exception as error:  # somebody else's code fails in any way
        raise ConfigError(
            f"`{description.model}` fails on images of {tuple(description.shape)}: {type(error).__name__}: {error} "
            "(conf: model)"
        ) from error
    if not isinstance(logits, Tensor):
        raise ConfigError(
            f"`{description.model}` gives a {type(logits).__name__}, where logits are expected: wrap it in a function "
            "of your own. (conf: model)"
        )
    if logits.shape != (2, description.classes):
        raise ConfigError(
            f"`{description.model}` gives {tuple(logits.shape)} for 2 images, expected logits of {description.classes} "
            "classes: choose the data set that it was trained on, or `model_arguments`. (conf: model)"
        )


_LIBRARIES = {"dsrna": _own, "torchvision": _torchvision, "timm": _timm}
