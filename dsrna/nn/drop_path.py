"""Drop-path: a whole path of a cell is left out for some images of a batch."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.distributed.group import per_image
from dsrna.errors import ConfigError


class DropPath(nn.Module):
    """x * b / (1 - p) with one b ~ Bernoulli(1 - p) for each image in training mode; x itself in evaluation mode.

    The expectation over b is x. Draws come from torch's global generator of x's device.

    Args:
        probability: p in [0, 1), the chance that an image's path is dropped. Settable later through
            :meth:`set_probability`.

    Source: Larsson, Maire, Shakhnarovich, FractalNet (ICLR 2017); in the form of DARTS's retraining.
    """

    def __init__(self, probability: float = 0.0) -> None:
        super().__init__()
        self.set_probability(probability)

    def set_probability(self, probability: float) -> None:
        """Sets p.

        Raises:
            ConfigError: p isn't in [0, 1).
        """
        if not 0 <= probability < 1:
            raise ConfigError(f"Expected `drop_path` in [0, 1), got {probability}.")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, …) to (N, …)."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        mask = per_image(lambda shape: x.new_empty(shape).bernoulli_(keep), (x.shape[0],) + (1,) * (x.dim() - 1))
        return x * (mask / keep)
