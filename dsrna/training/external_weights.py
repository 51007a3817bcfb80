"""Weights that other code saved: a state dict, alone or in a checkpoint, or a safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from dsrna.errors import CheckpointError
from dsrna.training.checkpoints import read_checkpoint
from dsrna.training.weights_fit import differences, unwrapped

NAMES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
"""Keys under which checkpoints hold their network's weights, the likeliest first."""


def load_external_weights(network: nn.Module, path: Path) -> None:
    """Loads a file's weights into a network of somebody else's, nothing unpickled but tensors and plain values.

    Prefixes that wrappers put before all keys are taken off; counts of BatchNorm's batches may be missing.

    Raises:
        CheckpointError: the file is missing or damaged, holds no weights, or others than the network's.
    """
    expected = network.state_dict()
    counts = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    weights = counts | unwrapped(_weights_in(path), own=expected)
    problem = differences(weights, expected)
    if problem is not None:
        raise CheckpointError(
            f"The weights in {path} don't fit `model`: {problem}. Are `model` and `model_arguments` those that it was "
            "trained with? (conf: checkpoint)"
        )
    not_finite = [key for key, weight in weights.items() if not bool(weight.isfinite().all())]
    if not_finite:
        raise CheckpointError(f"{not_finite[0]} in {path} is not finite ({len(not_finite)} such). (conf: checkpoint)")
    network.load_state_dict(weights)


def _weights_in(path: Path) -> dict[str, Tensor]:
    content = _safetensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    if _is_weights(content):
        return content
    found = [key for key, value in content.items() if _is_weights(value)]
    named = [key for key in NAMES if key in found] or found
    if not named:
        raise CheckpointError(
            f"Expected weights in {path}, a dictionary of tensors, alone or under a key such as `state_dict`; found "
            f"the keys {', '.join(map(str, list(content)[:8])) or 'of nothing'}. (conf: checkpoint)"
        )
    weights: dict[str, Tensor] = content[named[0]]
    return weights


def _is_weights(value: Any) -> bool:
    return isinstance(value, dict) and len(value) > 0 and all(isinstance(each, Tensor) for each in value.values())


def _safetensors(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"Expected weights at {path}, found no file. (conf: checkpoint)")
    try:
        content: dict[str, Any] = safetensors.torch.load_file(path)
    except Exception as error:  # damaged bytes make its reader fail in any way
        raise CheckpointError(f"Can't read {path}: {error} (conf: checkpoint)") from error
    return content
