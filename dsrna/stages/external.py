"""The network that the setting `model` names: somebody else's, or a published one of dsrna's."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from dsrna.config.external import NormalizationSettings
from dsrna.config.parts import located
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.training.external_model import FILES, ExternalDescription, build_external
from dsrna.training.external_weights import load_external_weights
from dsrna.training.published_network import load_published
from dsrna.training.trained_network import Description, TrainedNetwork, save_network
from dsrna.verification.onnx_network import onnx_bytes

log = logging.getLogger("dsrna")

_PRETRAINED = ("weights", "pretrained")
"""Arguments by which torchvision and timm give trained weights."""


@dataclass(frozen=True)
class LoadedModel:
    """A trained network, and what builds it again.

    Attributes:
        network: in evaluation mode, on the CPU.
        description: what builds it.
        title: how it was trained or who it is, in a few words.
        numbers: what is noted of its training.
    """

    network: TrainedNetwork
    description: Description
    title: str
    numbers: dict[str, float] = field(default_factory=dict)

    def save(self, checkpoint: Path) -> None:
        """As the checkpoint of a run folder, which has the weights, wherever they came from."""
        description = self.description
        if isinstance(description, ExternalDescription):
            arguments = {name: value for name, value in description.arguments.items() if name not in _PRETRAINED}
            description = replace(description, arguments=arguments)
        save_network(checkpoint, description, self.network.state_dict(), self.title, self.numbers)


def described_model(settings: Settings, splits: Splits) -> ExternalDescription:
    """The description of ``model``, which is no folder, for these images.

    Raises:
        ConfigError: the normalisation has another number of channels, or a file or folder is to be trained.
    """
    assert settings.model is not None
    mean, std = _normalization(settings.normalization, splits)
    path, content = Path(settings.model), None
    if path.is_dir():
        raise ConfigError(
            "A published network can be evaluated; to train its architecture anew, give "
            f"from={path / 'genotype.json'}. (conf: model)"
        )
    if path.suffix.lower() in FILES:
        if "retrain" in settings.stages:
            raise ConfigError(
                f"A {path.suffix} file can be evaluated; to train its network, name the function that builds it. "
                "(conf: model)"
            )
        if not path.is_file():
            raise CheckpointError(f"Expected a {path.suffix} file at {path}, found none. (conf: model)")
        with located("model"):
            given = onnx_bytes(path) if path.suffix.lower() == ".onnx" else path.read_bytes()
            content = torch.frombuffer(bytearray(given), dtype=torch.uint8)
    model = settings.model if content is None else path.name
    arguments, test = settings.model_arguments or {}, splits.test
    return ExternalDescription(model, arguments, list(test.shape), test.classes, mean, std, content)


def load_model(settings: Settings, splits: Splits) -> LoadedModel:
    """Builds ``model`` and loads ``checkpoint`` into it, or reads it from the folder that it names.

    Raises:
        ConfigError: it can't be built, or has no trained weights.
        CheckpointError: its weights can't be read or don't fit.
        DataError: it is of images of another shape or with other classes.
        MissingPartError: a package that it needs isn't installed.
    """
    assert settings.model is not None
    if Path(settings.model).is_dir():
        return _published(Path(settings.model), settings, splits)
    description = described_model(settings, splits)
    has_weights = description.content is not None
    if settings.checkpoint is not None and has_weights:
        raise ConfigError(f"{description.model} has its weights: leave out `checkpoint`. (conf: checkpoint)")
    may_have = has_weights or description.is_own or any(description.arguments.get(name) for name in _PRETRAINED)
    if settings.checkpoint is None and not may_have:
        raise ConfigError(
            f"`{description.model}` is built with random weights: give checkpoint=FILE, a state dict. "
            "(conf: checkpoint)"
        )
    with located("model"):
        network = build_external(description)
    if settings.checkpoint is not None:
        with located("checkpoint"):
            load_external_weights(network.inner, Path(settings.checkpoint))
    elif not has_weights:
        log.info("No `checkpoint`: the weights are those that %s gives.", description.model)
    return LoadedModel(network.eval(), description, description.model)


def _published(folder: Path, settings: Settings, splits: Splits) -> LoadedModel:
    given = [name for name in ("model_arguments", "checkpoint", "normalization") if getattr(settings, name) is not None]
    if given:
        raise ConfigError(
            f"{folder} knows its weights, arguments and normalisation: leave out {', '.join(given)}. (conf: model)"
        )
    with located("model"):
        network, description, about = load_published(folder)
        check_images(folder, description, splits)
    named = [names for names in (about.class_names, list(splits.class_names)) if not all(map(str.isdigit, names))]
    if len(named) == 2 and named[0] != named[1]:  # numbers say nothing
        log.warning(
            "%s was evaluated on the classes %s, these images are of %s.",
            *(folder, ", ".join(about.class_names), ", ".join(splits.class_names)),
        )
    return LoadedModel(network, description, about.title, about.numbers)


def check_images(source: Path, description: Description, splits: Splits) -> None:
    """Raises DataError where a trained network is of images of another shape, or with other classes, than these."""
    test = splits.test
    if list(test.shape) != description.shape or test.classes != description.classes:
        raise DataError(
            f"Expected images of shape {tuple(description.shape)} in {description.classes} classes for {source}, got "
            f"{tuple(test.shape)} in {test.classes}: choose the data set it was trained on. (conf: data)"
        )


def _normalization(
    given: NormalizationSettings | str | None, splits: Splits
) -> tuple[list[float], list[float]] | tuple[None, None]:
    if given is None:
        return None, None
    if isinstance(given, str):
        return list(splits.mean), list(splits.std)
    channels = splits.test.shape[0]
    if not len(given.mean) == len(given.std) == channels:
        raise ConfigError(
            f"Expected `mean` and `std` of {channels} numbers, one a channel, got {len(given.mean)} and "
            f"{len(given.std)}. (conf: normalization)"
        )
    return given.mean, given.std
