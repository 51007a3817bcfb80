"""A trained network on disk: its weights and what is needed to build it again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsrna.errors import CheckpointError, DsrnaError
from dsrna.spaces import genotype_codec
from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.registry import space_of
from dsrna.training.checkpoints import checked, read_checkpoint, save_checkpoint
from dsrna.training.external_model import ExternalDescription, ExternalNetwork, build_external
from dsrna.training.weights_fit import misfit, unwrapped

SCHEMA = "dsrna.network"
VERSION = 1


@dataclass(frozen=True)
class NetworkDescription:
    """Everything that :func:`build_network` needs, of plain types.

    Attributes:
        genotype: as JSON.
        shape: (C, H, W) of its images.
        classes: number of classes.
        sizes: cells, channels, auxiliary, stem, mean, std.
    """

    genotype: dict[str, Any]
    shape: list[int]
    classes: int
    sizes: dict[str, Any]

    def read_genotype(self) -> Genotype:
        return genotype_codec.from_json(self.genotype)


Description = NetworkDescription | ExternalDescription
"""Of a derived network, or of somebody else's."""
TrainedNetwork = DerivedNetwork | ExternalNetwork


def build_network(description: Description) -> TrainedNetwork:
    """The network with fresh weights; whoever calls this vouches for the module that an external one names."""
    if isinstance(description, ExternalDescription):
        return build_external(description)
    genotype = description.read_genotype()
    channels, height, width = description.shape
    return space_of(genotype).network(genotype, (channels, height, width), description.classes, **description.sizes)


def save_network(
    path: Path, description: Description, weights: dict[str, Tensor], title: str, numbers: dict[str, float]
) -> None:
    """Writes weights and description, atomically."""
    content = {
        "schema": SCHEMA,
        "version": VERSION,
        "network": asdict(description),
        "state_dict": {name: tensor.detach().cpu() for name, tensor in weights.items()},
        "title": title,
        "numbers": dict(numbers),
    }
    save_checkpoint(path, content)


def load_network(path: Path, model: str | None = None) -> tuple[TrainedNetwork, Description, dict[str, Any]]:
    """The network with its trained weights, in evaluation mode on the CPU.

    Weights that were saved from within DataParallel, torch.compile or a LightningModule are read too.

    Args:
        path: the checkpoint.
        model: a module's function or class that may be imported, as the checkpoint says it must be to build the
            network: a file is not to decide what code runs here.

    Returns:
        The network, its description, and the checkpoint's ``title`` and ``numbers``.

    Raises:
        CheckpointError: the file is missing, damaged, of another version, or its weights don't fit or aren't finite; or
            it names a module that ``model`` doesn't.
    """
    content = read_checkpoint(path)
    if content.get("schema") != SCHEMA or content.get("version") != VERSION:
        raise CheckpointError(
            f"Expected a network of schema {SCHEMA} version {VERSION} in {path}, got {_what_instead(content)}. "
            "Give a `best.ckpt` that the retrain stage of this dsrna wrote, or one with its keys: "
            "schema, version, network, state_dict, title, numbers."
        )
    try:
        weights = unwrapped(content["state_dict"])
        content = checked(path, content | {"state_dict": weights})
        about = {"title": content["title"], "numbers": content["numbers"]}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not fit together: {_in_words(error)}") from error
    return *with_weights(path, content["network"], weights, model), about


def with_weights(
    path: Path, description: dict[str, Any], weights: dict[str, Tensor], model: str | None = None
) -> tuple[TrainedNetwork, Description]:
    """The network that a file describes, with the file's weights, in evaluation mode on the CPU.

    Args:
        path: the file, for messages.
        description: a :data:`Description` as plain types.
        weights: name -> tensor.
        model: see :func:`load_network`.

    Raises:
        CheckpointError: it describes no network, names a module that ``model`` doesn't, or the weights don't fit or
            aren't finite.
    """
    try:
        described = _description(path, description, model)
        with torch.device("cpu" if getattr(described, "content", None) is not None else "meta"):
            # Names and shapes alone; a file's come with its values, which a reshape reads.
            expected = build_network(described).state_dict()
        problem = misfit(weights, expected, described.classes) or _not_finite(weights)
        if problem is None:
            network = build_network(described)
            network.load_state_dict(weights)
            return network.eval(), described
    except CheckpointError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError, DsrnaError) as error:
        problem = _in_words(error)
    raise CheckpointError(f"{path} does not fit together: {problem}")


def _description(path: Path, content: dict[str, Any], model: str | None) -> Description:
    if "model" not in content:
        return NetworkDescription(**content)
    description = ExternalDescription(**content)
    if description.needs_trust and description.model != model:
        raise CheckpointError(
            f"The network in {path} is built by `{description.model}`, which would be imported and called. If you "
            f"trust it, name it too: model={description.model}. (conf: model)"
        )
    return description


def _what_instead(content: dict[str, Any]) -> str:
    if "dsrna" in content:
        return "a checkpoint to continue a stage from"
    weights_alone = "state_dict" in content and "network" not in content
    if weights_alone or (content and all(isinstance(value, Tensor) for value in content.values())):
        return "weights alone, without the description of their network"
    return f"{content.get('schema')!r} version {content.get('version')!r}"


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _not_finite(weights: dict[str, Tensor]) -> str | None:
    wrong = [key for key, weight in weights.items() if not bool(torch.isfinite(weight).all())]
    return (
        f"{wrong[0]} is not finite ({len(wrong)} such in all). Its training diverged, or the file is damaged."
        if wrong
        else None
    )
