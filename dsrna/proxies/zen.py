"""Zen-score, the expressivity of the features."""

from __future__ import annotations

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
    BatchNorm l divides for x. The sum gives back the scale that BatchNorm takes away. Doesn't look at the images,
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

        def note_scale(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            variances = inputs[0].var([0, *range(2, inputs[0].ndim)], correction=0)
            scales.append(variances.mean().sqrt().log())

        hooks = [
            module.register_forward_pre_hook(note_scale) for module in model.modules() if isinstance(module, _BatchNorm)
        ]
        with torch.no_grad():
            features = _last_feature_map(model, images)
            for hook in hooks:
                hook.remove()
            distances = (features - _last_feature_map(model, moved)).abs().flatten(1).sum(dim=1)
        return distances.mean().log() + sum(scales)


def _last_feature_map(model: nn.Module, x: Tensor) -> Tensor:
    """The output of the module that gave a map of several pixels last."""
    maps: list[Tensor] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            maps[:] = [output]

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    model(x)
    for hook in hooks:
        hook.remove()
    if not maps:
        raise UnsupportedError(f"Expected a network with feature maps (N, C, H, W), got {type(model).__name__}.")
    return maps[0]
