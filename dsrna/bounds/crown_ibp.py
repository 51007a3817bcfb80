"""Linear relaxation of the output over intervals of the layers."""

from __future__ import annotations

from dsrna.bounds.linear_relaxation import LinearRelaxation


class CrownIBP(LinearRelaxation):
    """CROWN-IBP: intervals for every layer, then one backward substitution of the logits or margins.

    Cost: an interval pass and, for each logit or margin and end, about a backward pass.

    Source: Zhang et al., Towards Stable and Efficient Training of Verifiably Robust Neural Networks (ICLR 2020).
    """
