"""Linear relaxation of the last layer over intervals of the others."""

from __future__ import annotations

from typing import ClassVar

from dsrna.bounds.linear_relaxation import LinearRelaxation


class CrownIBP(LinearRelaxation):
    """CROWN-IBP: intervals for every layer, then one backward substitution of the logits or margins.

    Never looser by design than the last layers of IBP alone would suggest, but not always tighter than IBP. Cost: an
    interval pass and, for each logit or margin, about a backward pass.

    Source: Zhang et al., Towards Stable and Efficient Training of Verifiably Robust Neural Networks (ICLR 2020).
    """

    method: ClassVar[str] = "CROWN-IBP"
