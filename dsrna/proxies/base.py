"""What every proxy shares."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from dsrna.attacks.base import check_batch
from dsrna.errors import DataError, NonFiniteError
from dsrna.proxies.working_copy import BatchNormUse, working_copy


class Proxy(ABC):
    """Scores an untrained network; higher is meant to be better.

    Proxies whose authors mean small values to be good (norms, eigenvalues of a Hessian) score their negative. A
    subclass writes :meth:`score`; :meth:`__call__` is final and hands it a copy of the network, so that no proxy can
    change the network, its modes or its gradients.

    Attributes:
        batch_norm: how BatchNorm works in the copy, see :func:`~dsrna.proxies.working_copy.working_copy`.
    """

    batch_norm: ClassVar[BatchNormUse] = "batch"

    @final
    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> float:
        """The score.

        Args:
            model: network (N, C, H, W) -> logits (N, K), in any mode; normalisation is its own first layer.
            x: (N, C, H, W) images in [0, 1], N >= 1.
            y: (N,) true classes, int64; not every proxy looks at images or classes.
            generator: source of all random numbers; proxies that draw none don't need it.

        Returns:
            A finite number; higher is better. Scores of different proxies can't be compared.

        Raises:
            DataError: the batch is empty, or not what :class:`~dsrna.attacks.base.Attack` takes.
            ConfigError: the proxy draws random numbers and got no generator.
            UnsupportedError: the network has none of the layers that the proxy looks at.
            NonFiniteError: the score is NaN or infinite.
        """
        check_batch(x, y)
        if len(x) == 0:
            raise DataError("Expected at least one image to score a network with, got none.")
        with torch.inference_mode(False), torch.enable_grad():
            # Cloning makes ordinary tensors of a caller's inference tensors, which autograd refuses.
            x, y = x.detach().clone(), y.clone()
            found = self.score(working_copy(model, self.batch_norm), x, y, generator)
            score = float(found.detach() if isinstance(found, Tensor) else found)
        if not math.isfinite(score):
            raise NonFiniteError(
                f"{type(self).__name__}: the score is {score}. The network's output may not depend on the image, or "
                "its weights may be too large."
            )
        return score

    @abstractmethod
    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor | float:
        """The score of a network that this call owns, with gradients enabled."""
