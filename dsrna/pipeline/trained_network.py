"""A trained derived network on disk: its weights and what is needed to build it again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dsrna.errors import CheckpointError, DsrnaError
from dsrna.spaces import genotype_codec
from dsrna.spaces.derived_network import DerivedNetwork
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.registry import space_of
from dsrna.training.checkpoints import load_checkpoint, save_checkpoint

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


def build_network(description: NetworkDescription) -> DerivedNetwork:
    """The network with fresh weights."""
    genotype = description.read_genotype()
    channels, height, width = description.shape
    return space_of(genotype).network(genotype, (channels, height, width), description.classes, **description.sizes)


def save_network(
    path: Path, description: NetworkDescription, weights: dict[str, Tensor], title: str, numbers: dict[str, float]
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


def load_network(path: Path) -> tuple[DerivedNetwork, NetworkDescription, dict[str, Any]]:
    """The network with its trained weights, in evaluation mode on the CPU.

    Returns:
        The network, its description, and the checkpoint's ``title`` and ``numbers``.

    Raises:
        CheckpointError: the file is missing, damaged, of another version, or its weights don't fit.
    """
    content = load_checkpoint(path)
    if content.get("schema") != SCHEMA or content.get("version") != VERSION:
        raise CheckpointError(
            f"Expected a network of schema {SCHEMA} version {VERSION} in {path}, got {content.get('schema')!r} version "
            f"{content.get('version')!r}. Give a `best.ckpt` that the retrain stage of this dsrna wrote."
        )
    try:
        description = NetworkDescription(**content["network"])
        network = build_network(description)
        network.load_state_dict(content["state_dict"])
    except (TypeError, KeyError, ValueError, RuntimeError, DsrnaError) as error:
        raise CheckpointError(f"{path} does not fit together: {str(error).splitlines()[0]}") from error
    return network.eval(), description, {"title": content["title"], "numbers": content["numbers"]}
