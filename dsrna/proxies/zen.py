"""Zen-score, the expressivity of the features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.errors import ConfigError, UnsupportedError
from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import weighted_layers, weights_of
from dsrna.proxies.random_draws import gaussian


class Zen(Proxy):
    """log mean_n ||f(x_n) - f(x_n + alpha e_n)||_1 + sum_l log sqrt(mean_c var_lc).

    f is the last feature map before the global average, x and e are Gaussian images, var_l is the variance by which
    BatchNorm l divides for x. The sum gives back the scale that BatchNorm takes away; one that sees the same value
    everywhere, behind `none`, takes none away and is left out. Doesn't look at the images,
    only at their number and size, nor at classes.

    The weights of convolutions and linear layers are drawn anew from the standard normal distribution.

    Cost: two forward passes. Source: Lin et al., Zen-NAS, ICCV 2021, algorithm 1; differs from the released code, which
    takes running variances that are mostly still at their initial 1.

    Args:
        alpha: length of the step, > 0.

    Raises:
        UnsupportedError: the network has no feature maps.
    """

    def __init__(self, alpha: float = 0.01) -> None:
        if not alpha > 0:
            raise ConfigError(f"Expected `alpha` above 0, got {alpha}. (conf: alpha)")
        self.alpha = alpha

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        with torch.no_grad():
            for weight in weights_of(weighted_layers(model)):
                weight.copy_(gaussian(weight, generator))
        images = gaussian(x, generator)
        moved = images + self.alpha * gaussian(x, generator)
        scales: list[Tensor] = []
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                _note_scale_in_the_first_pass(layer, scales)
        with torch.no_grad():
            features, last = _last_feature_map(model, images, list(model.modules()))
            distances = (features - _last_feature_map(model, moved, [last])[0]).abs().flatten(1).sum(dim=1)
        return distances.mean().log() + sum(scales)


def _note_scale_in_the_first_pass(layer: _BatchNorm, scales: list[Tensor]) -> None:
    """Adds log sqrt(mean_c var_c) of the layer's next input to ``scales``, from what the layer computes anyway."""
    layer.track_running_stats, layer.momentum = True, 1.0

    def prepare(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        layer.running_mean, layer.running_var = inputs[0].new_zeros(2, inputs[0].shape[1])

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        count = output.numel() // output.shape[1]
        # The layer divides by the biased variance, but notes the unbiased one.
        variance = layer.get_buffer("running_var").mean() * ((count - 1) / count)
        if variance != 0:
            scales.append(variance.sqrt().log())
        for handle in handles:
            handle.remove()

    handles = [layer.register_forward_pre_hook(prepare), layer.register_forward_hook(note)]


def _last_feature_map(model: nn.Module, x: Tensor, among: Sequence[nn.Module]) -> tuple[Tensor, nn.Module]:
    """The output of that one of some modules that gave a map of several pixels last, and this module."""
    maps: list[tuple[Tensor, nn.Module]] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            maps[:] = [(output, module)]

    hooks = [module.register_forward_hook(note) for module in among]
    model(x)
    for hook in hooks:
        hook.remove()
    if not maps:
        raise UnsupportedError(f"Expected a network with feature maps (N, C, H, W), got {type(model).__name__}.")
    return maps[0]
