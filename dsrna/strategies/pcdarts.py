"""PC-DARTS."""

from __future__ import annotations

from dsrna.strategies.darts import Darts


class PCDarts(Darts):
    """DARTS with partial channels and edge normalisation, the host of DSRNA.

    Args:
        partial_channels: K; one channel in K goes through the operations (4 as published for CIFAR-10).
        init_scale: standard deviation of the initial alphas and betas, >= 0.

    Raises:
        ConfigError: a value is out of range.

    Source: Xu et al., PC-DARTS (ICLR 2020), eqs. 1 and 2.
    """

    def __init__(self, partial_channels: int = 4, init_scale: float = 1e-3) -> None:
        super().__init__(init_scale, partial_channels, edge_normalization=True)
