"""A trained network as others take it: weights in safetensors and a config in JSON, of which nothing is unpickled."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

import dsrna
from dsrna import documents
from dsrna.errors import CheckpointError, UnsupportedError
from dsrna.files import write_bytes, write_json
from dsrna.json_files import read_document
from dsrna.training.external_model import ExternalDescription
from dsrna.training.trained_network import Description, TrainedNetwork, with_weights

SCHEMA = "dsrna.published"
VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The names by which the Hugging Face Hub knows them."""


@dataclass(frozen=True)
class About:
    """What ``config.json`` says of a network besides what builds it.

    Attributes:
        title: how it was trained, in a few words.
        stage: ``retrain``, ``certified`` or ``baseline``.
        numbers: of its checkpoint: the epoch, accuracies on validation images in [0, 1].
        class_names: in the order of the logits; empty where they aren't known.
        data: what it was evaluated on, in words; None where it wasn't.
        threat: ``{"norm": …, "eps": …}`` of that evaluation, eps in [0, 1] pixel units.
    """

    title: str
    stage: str
    numbers: dict[str, float]
    class_names: list[str]
    data: str | None = None
    threat: dict[str, Any] | None = None


def is_published(folder: Path) -> bool:
    """Whether a folder looks like one of :func:`save_published`."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def save_published(folder: Path, description: Description, weights: dict[str, Tensor], about: About) -> None:
    """Writes ``model.safetensors``, then ``config.json`` with what builds the network and the weights' digest.

    Raises:
        UnsupportedError: it is built by code or a file that the folder doesn't hold.
    """
    if isinstance(description, ExternalDescription) and (description.needs_trust or description.content is not None):
        raise UnsupportedError(
            f"A published folder holds values alone, and `{description.model}` is built by "
            f"{'that file' if description.content is not None else 'code that it would have to import'}: derived "
            "networks, and those of dsrna: and torchvision:, can be published."
        )
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    payload = safetensors.torch.save(plain, metadata={"format": "pt"})
    network = {name: value for name, value in asdict(description).items() if name != "content"}
    write_bytes(folder / WEIGHTS, payload)
    write_json(
        folder / CONFIG,
        {
            "schema": SCHEMA,
            "version": VERSION,
            "dsrna": dsrna.__version__,
            **asdict(about),
            "network": network,
            "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(payload).hexdigest()},
        },
    )


def load_published(folder: Path) -> tuple[TrainedNetwork, Description, About]:
    """The network of a folder that :func:`save_published` wrote, in evaluation mode on the CPU.

    Raises:
        CheckpointError: a file is missing, damaged, of another version or not what was published, or they don't fit
            together.
    """
    config = read_document(folder / CONFIG, SCHEMA, VERSION, documents.Published)
    path = folder / WEIGHTS
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Expected the weights at {path}, got: {error.strerror}.") from error
    if hashlib.sha256(payload).hexdigest() != config["weights"]["sha256"]:
        raise CheckpointError(
            f"What is in {path} isn't what was published: its digest isn't the one in {CONFIG}. Get both files again."
        )
    try:
        weights = safetensors.torch.load(payload)
    except Exception as error:  # damaged bytes make its reader fail in any way
        raise CheckpointError(f"Can't read {path}: {error}") from error
    network, description = with_weights(folder, config["network"], weights)
    about = {name: config[name] for name in About.__dataclass_fields__}
    return network, description, About(**about)
