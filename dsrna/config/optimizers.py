"""Optimisers that are built to see whether they can be, and never step."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dsrna.config.parts import build_part

if TYPE_CHECKING:
    import torch

OPTIMIZER = "torch.optim.optimizer.Optimizer"


def tried_optimizer(node: Any, where: str, params: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """The optimiser that a node describes, of these weights.

    Raises:
        ConfigError: as of :func:`dsrna.config.parts.build_part`.
    """
    built: torch.optim.Optimizer = build_part(node, where, kind=OPTIMIZER, remade=_untraced, params=params)
    return built


def _untraced(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same class, whose constructor doesn't import ``torch._dynamo``.

    What adds weights is wrapped so that it is never traced, and the wrapper imports the tracer, a third of the time
    until a mistake in the settings is found.
    """
    return type(kind.__name__, (kind,), {"add_param_group": inspect.unwrap(kind.add_param_group)})
