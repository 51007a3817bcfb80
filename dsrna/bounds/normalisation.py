"""Layers that normalise by an image's own mean and variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from dsrna.bounds.stand_in import StandIn


class Normalisation(StandIn):
    """LayerNorm, GroupNorm and InstanceNorm, all by :meth:`_standardised`."""

    def layer_norm(
        self,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        cudnn_enable: bool = True,
    ) -> Self:
        """See :func:`torch.nn.functional.layer_norm`; not over the images."""
        last = len(normalized_shape)
        if last >= self.ndim:
            self._refuse_mixing()
        if tuple(self.shape[self.ndim - last :]) != tuple(normalized_shape):
            self._refuse(f"LayerNorm over {tuple(normalized_shape)} of a value {tuple(self.shape)}")
        output = self._standardised(tuple(range(self.ndim - last, self.ndim)), eps)
        return _scaled(output, weight, bias)

    def group_norm(
        self,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        cudnn_enabled: bool = True,
    ) -> Self:
        """See :func:`torch.nn.functional.group_norm`."""
        count, channels, *rest = self.shape
        if channels % num_groups:
            self._refuse(f"GroupNorm of {channels} channels in {num_groups} groups")
        grouped = self.rearrange(lambda values: values.reshape(count, num_groups, -1))
        output = grouped._standardised((2,), eps).rearrange(lambda values: values.reshape(count, channels, *rest))
        return _scaled(output, *(part if part is None else part.view(-1, *[1] * len(rest)) for part in (weight, bias)))

    def instance_norm(
        self,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Self:
        """See :func:`torch.nn.functional.instance_norm`."""
        if use_input_stats:
            return self.group_norm(self.shape[1], weight, bias, eps)
        output: Self = self.batch_norm(running_mean, running_var, weight, bias, False, momentum, eps)
        return output

    def _standardised(self, dims: tuple[int, ...], smallest: float) -> Self:
        """(x - mean) / sqrt(variance + smallest), with the mean and variance over dimensions >= 1."""
        self._refuse("normalisation by an image's own mean and variance")


def _scaled(values: Any, weight: Tensor | None, bias: Tensor | None) -> Any:
    values = values if weight is None else values * weight
    return values if bias is None else values + bias
