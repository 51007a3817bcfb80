"""What a row brings to be trained: a cell, or a network that has none."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dsrna.config.fingerprint import hashed
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.stages.external import described_model
from dsrna.stages.retrain import describe
from dsrna.training.trained_network import Description


@dataclass(frozen=True)
class FixedNetwork:
    """A network that nothing was searched for.

    Attributes:
        model: its name, as the setting ``model`` takes it.
        arguments: of the function that builds it, as JSON.
    """

    model: str
    arguments: str = "{}"


Architecture = Genotype | FixedNetwork


def text_of(architecture: Architecture) -> str:
    """The same for equal architectures alone, in whatever order a cell's operations are written."""
    if isinstance(architecture, FixedNetwork):
        return f"{architecture.model} {architecture.arguments}"
    return json.dumps(genotype_codec.to_json(architecture.canonical()), sort_keys=True)


def digest_of(architecture: Architecture) -> str:
    """Stands for an architecture."""
    return hashed(text_of(architecture))[:12]


def description_of(architecture: Architecture, settings: Settings, splits: Splits) -> Description:
    """The network that is trained of it.

    Args:
        architecture: of a row.
        settings: of that row's trainings, which name a fixed network.
        splits: the images.
    """
    if isinstance(architecture, FixedNetwork):
        return described_model(settings, splits)
    return describe(settings, splits, architecture)
