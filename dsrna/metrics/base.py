"""What every robustness metric shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from dsrna.errors import NonFiniteError
from dsrna.nn.modes import BatchNormMode, check_batch_norm, normalising, parameters_of
from dsrna.nn.nonfinite import origin_of_nonfinite


class RobustnessMetric(ABC):
    """Scores how robust a network is at each image, differentiably in the network's parameters.

    A subclass writes :meth:`score`; :meth:`__call__` is final. In the architecture step the mean score enters as
    L_val - gamma * R (DSRNA Eq. 16).

    Args:
        batch_norm: ``"running"`` normalises with the running statistics, so that an image's score doesn't depend on its
            batch mates. ``"batch"`` normalises with the statistics of the batch that is scored: closer to what the
            network does in training, but scores then depend on batch mates. Either way the running statistics stay as
            they are, and dropout and drop-path are off.

    Attributes:
        rewards_ignoring_the_input: whether a network whose logits hardly depend on the image may score best. A search
            on such a metric says so at its start. True unless a metric rules it out, which its conformance suite tests.
        scale_free: whether the scores stay as they are when all logits are multiplied by a number > 0.
        looks_at_images: whether each image has a score of its own; else all have the network's.

    Raises:
        ConfigError: ``batch_norm`` is neither of the two.
    """

    rewards_ignoring_the_input: bool = True
    scale_free: bool = False
    looks_at_images: bool = True

    def __init__(self, batch_norm: BatchNormMode = "running") -> None:
        check_batch_norm(batch_norm)
        self.batch_norm = batch_norm

    @final
    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Scores of a batch.

        With gradients enabled the scores are differentiable in the model's parameters. In ``no_grad`` and
        ``inference_mode`` they are the same values without a graph, and cheaper. The model is left as it was: training
        and ``requires_grad`` flags, running statistics and ``.grad``, after an error too.

        Args:
            model: network (N, C, H, W) -> logits (N, K); normalisation is its own first layer.
            x: (N, C, H, W) images in [0, 1]; scores carry no gradient to them.
            y: (N,) true classes, int64; not every metric looks at them.
            generator: source of all random numbers, for metrics that estimate; a CPU generator draws the same numbers
                on every device.

        Returns:
            (N,) scores, higher is more robust.

        Raises:
            NonFiniteError: a score is NaN or infinite; names the image and the layer.
            UnsupportedError: the metric needs gradients to the images, and there are none.
            ConfigError: the metric draws random numbers and got no generator.
        """
        with_graph = torch.is_grad_enabled()
        with self._scoring(model), torch.inference_mode(False), torch.set_grad_enabled(with_graph):
            # Cloning makes ordinary tensors of a caller's inference tensors, which autograd refuses.
            x, y = (tensor.clone() if tensor.is_inference() else tensor.detach() for tensor in (x, y))
            scores = self.score(model, x, y, generator)
        bad = ~scores.detach().isfinite()
        if bad.any():
            index = int(bad.int().argmax())
            with self._scoring(model):
                origin = origin_of_nonfinite(model, x if self.batch_norm == "batch" else x[index : index + 1])
            raise NonFiniteError(
                f"{type(self).__name__}: {int(bad.sum())} of {len(scores)} scores are NaN or infinite, first that of "
                f"image {index} of the batch{'' if origin is None else f', from {origin} on'}. Lower the learning rate "
                "of the weights, or let them warm up longer before the metric counts. "
                "(conf: search.warmup_epochs, metric.warmup_epochs)",
                image=index,
            )
        return scores

    @abstractmethod
    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """The scores (N,), for a model in the right modes.

        Whether gradients are enabled says whether the scores must be differentiable in the parameters. What must be
        differentiated in the images is computed under ``torch.enable_grad`` in either case.
        """

    @property
    def numbers(self) -> dict[str, float]:
        """What the metric noted at its last call, to be logged beside its score, and what it carries from call to call.

        A search keeps it in every checkpoint and gives it back to :meth:`restore`.
        """
        return {}

    def restore(self, numbers: dict[str, float]) -> None:  # noqa: B027 - most metrics have nothing to restore
        """Takes back :attr:`numbers` of an interrupted search, to go on as if there had been no interruption."""

    def advance(self, progress: float) -> None:  # noqa: B027 - most metrics stay the same
        """Called by a search before each architecture step that uses the metric: lets it change with time.

        Between two of these calls the same arguments give the same scores.

        Args:
            progress: share of the search's steps that lie behind, in [0, 1).
        """

    @contextmanager
    def _scoring(self, model: nn.Module) -> Iterator[None]:
        flags = [(parameter, parameter.requires_grad) for parameter in parameters_of(model)]
        with normalising(model, self.batch_norm):
            try:
                yield
            finally:
                for parameter, required in flags:
                    parameter.requires_grad_(required)
