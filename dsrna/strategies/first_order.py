"""The first-order hypergradient."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dsrna.strategies.hypergradient import ArchitectureGradient, Hypergradient, InnerStep, Loss, loss_gradients


class FirstOrder(Hypergradient):
    """d/d alphas of L_val(w, alphas) with w held fixed: w*(alphas) = w.

    Cost: one look at the validation objective. Exact in the alphas; it leaves out how they act through the weights.

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), section 2.3 (xi = 0).
    """

    def __call__(
        self,
        validation_loss: Loss,
        training_loss: Loss,
        alphas: Sequence[nn.Parameter],
        weights: Sequence[nn.Parameter],
        inner: InnerStep,
    ) -> ArchitectureGradient:
        """See :class:`Hypergradient`. The training loss, the weights and the inner step aren't looked at."""
        loss = validation_loss()
        return ArchitectureGradient(loss_gradients(loss, alphas), loss.detach())
