"""The first-order hypergradient."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dsrna.nn.modes import without_gradients
from dsrna.strategies.hypergradient import (
    ArchitectureGradient,
    Hypergradient,
    InnerStep,
    Loss,
    Objective,
    objective_gradients,
)


class FirstOrder(Hypergradient):
    """d/d alphas of L_val(w, alphas) with w held fixed: w*(alphas) = w.

    Cost: one look at the validation objective. Exact in the alphas; it leaves out how they act through the weights.

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), section 2.3 (xi = 0).
    """

    def __call__(
        self,
        validation_loss: Objective,
        training_loss: Loss,
        alphas: Sequence[nn.Parameter],
        weights: Sequence[nn.Parameter],
        inner: InnerStep,
    ) -> ArchitectureGradient:
        """See :class:`Hypergradient`. The training loss, the weights and the inner step aren't looked at."""
        with without_gradients(weights):
            loss, gradients = objective_gradients(validation_loss(), alphas)
        return ArchitectureGradient(gradients, loss)
