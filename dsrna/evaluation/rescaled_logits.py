"""A network whose logits have a size that attack libraries can work with."""

from __future__ import annotations

import math

from torch import Tensor, nn


class RescaledLogits(nn.Module):
    """A network with its logits multiplied by powers of two, which moves no image across a decision boundary.

    Libraries compare gradients and logits with numbers of their own (AutoAttack: 1e-12 and 1e-8, C&W: its first
    constant), so that they stand still on a network of tiny weights and find less on one of huge weights, though its
    decisions are the same. Logits whose spread lies in [low, high] stay as they are, to the last bit.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        logits: (N, K) on the clean images; spread is the largest distance from their mean over the classes.
        low: smaller spreads are brought up to at most this, > 0.
        high: larger ones down to at least this.
        per_image: a factor for each image, where the network is called on all images in their order; or one for all, by
            the largest spread.
    """

    def __init__(
        self,
        model: nn.Module,
        logits: Tensor,
        low: float,
        high: float = math.inf,
        *,
        per_image: bool = False,
    ) -> None:
        super().__init__()
        self.training = False
        self.model = model
        spread = (logits - logits.mean(dim=1, keepdim=True)).abs().amax(dim=1, keepdim=True)
        if not per_image:
            spread = spread.amax()
        up, down = (low / spread).log2().floor().clamp(min=0), (high / spread).log2().ceil().clamp(max=0)
        # A spread of 0 stays 0 whatever it is multiplied by.
        exponent = (up + down).masked_fill(spread == 0, 0)
        self.factors = exponent.clamp(-126, 126).exp2().to(logits.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) times the factors."""
        logits: Tensor = self.model(images)
        return logits * self.factors
