"""Linear relaxation of every layer."""

from __future__ import annotations

from typing import ClassVar

from dsrna.bounds.linear_relaxation import LinearRelaxation


class Crown(LinearRelaxation):
    """CROWN: a backward substitution for every layer before a ReLU, then one of the logits or margins.

    The tightest engine without optimisation, and the most expensive: for each ReLU about a backward pass for every
    value that it takes.

    Source: Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions
    (NeurIPS 2018).
    """

    method: ClassVar[str] = "CROWN"
