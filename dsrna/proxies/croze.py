"""CRoZe, consistency between a network and its perturbed self, as its authors' code computes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import weighted_layers, weights_of
from dsrna.proxies.stages import features_noted, stages_of
from dsrna.proxies.working_copy import remove_batch_norm

_SCALE = 1e-25
"""Of features in single precision; leaves room for growth by 1e60."""
_TINY = 1e-200
"""Floor under lengths, instead of torch's 1e-8, which would be another one at another scale."""


class Croze(Proxy):
    """sum_m [sum (1 + cos(W'_m, W_m))] [sum |cos(g'_m, g_m)|] [sum (1 + cos(Z'_m, Z_m))], the released variant.

    For every convolution and linear layer m: W_m = |weights|; W'_m = W_m + weight_step ||W_m|| g_m / ||g_m||, which
    raises the loss; g and g' are the gradients of the mean cross-entropy, at (W, x) and (W', x'); Z the features of
    the layer's stage (:func:`~dsrna.proxies.stages.stages_of`); x' = x - eps sign(dL/dx) at W', in [0, 1], which
    lowers the loss. Cosines run along dimension 0 (output channels, images) and are summed over all others, so that
    scores grow with the network. BatchNorm is taken out, save in the residual reductions of NAS-Bench-201.

    Features grow to 1e40 and more without BatchNorm. The released code works in double precision; here the first
    layer's weights and all biases are scaled by 1e-25, which scales all features and the logits alike and changes no
    cosine, so that the passes can be of single precision. Where that isn't enough they are repeated in double.

    Differs from the released code: images are in [0, 1] and normalised by the network, where the code clips images
    that are normalised already; the cells' convolutions there have a bias.

    Cost: three forward and backward passes without BatchNorm, one of them to the images alone.

    Args:
        weight_step: length of the weights' step, relative to the weights.
        eps: step of the images in [0, 1] pixel units.

    Source: Ha, Kim, Hwang, Generalizable lightweight proxy for robust NAS, NeurIPS 2023; for the paper's own formula
    see :class:`~dsrna.proxies.croze_paper.CrozePaper`.

    Raises:
        UnsupportedError: the network is of neither space.
    """

    def __init__(self, weight_step: float = 2.0, eps: float = 0.01) -> None:
        self.weight_step = weight_step
        self.eps = eps

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        remove_batch_norm(model, keep=ResidualReduction)
        _scale_down(model)
        weights = weights_of(weighted_layers(model))
        before = [weight.detach().clone() for weight in weights]
        score = self._score(model, before, x.to(before[0].dtype), y)
        if score.isfinite():
            return score
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)
        return self._score(model.double(), [old.double() for old in before], x.double(), y)

    def _score(self, model: nn.Module, before: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """The score in the precision of the network, whose weights are perturbed; ``before`` are copies of them."""
        stages = stages_of(model)
        weights = weights_of(weighted_layers(model))
        with features_noted(stages) as features:
            gradients = _loss_gradients(model, x, y, weights)
        self._perturb(weights, gradients)
        images = x.clone().requires_grad_()
        (slope,) = _loss_gradients(model.requires_grad_(False), images, y, [images])
        model.requires_grad_(True)
        moved = (x - self.eps * slope.sign()).clamp(0, 1)
        with features_noted(stages) as moved_features:
            moved_gradients = _loss_gradients(model, moved, y, weights)
        similar = [(1 + _cosines(a, b)).sum() for a, b in zip(moved_features, features, strict=True)]
        terms = [
            (1 + _cosines(after, old)).sum() * _cosines(moved_gradient, gradient).abs().sum() * similar[stage]
            for (_, stage), after, old, gradient, moved_gradient in zip(
                stages.layers, weights, before, gradients, moved_gradients, strict=True
            )
        ]
        return torch.stack(terms).abs().sum()

    def _perturb(self, weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Moves the weights to where the loss is higher."""
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                direction = F.normalize(gradient.double().flatten(), dim=0, eps=1e-300).view_as(weight)
                weight.add_((self.weight_step * weight.double().norm() * direction).to(weight.dtype))


def _scale_down(model: nn.Module) -> None:
    """Absolute weights, and all features and the logits times the scale.

    Between its first layer and its logits the network is positively homogeneous, but for BatchNorm and biases.
    """
    layers = weighted_layers(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
        layers[0].get_parameter("weight").mul_(_SCALE)
        for layer in layers:
            if isinstance(layer.bias, Tensor):
                layer.bias.mul_(_SCALE)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, _AtTrueScale(child))


class _AtTrueScale(nn.Module):
    """BatchNorm of features at their true scale, which only double precision can hold."""

    def __init__(self, batch_norm: _BatchNorm) -> None:
        super().__init__()
        self.batch_norm = batch_norm.double()

    def forward(self, x: Tensor) -> Tensor:
        """The scaled output for scaled features."""
        return (_SCALE * self.batch_norm(x.double() / _SCALE)).to(x.dtype)


def _loss_gradients(model: nn.Module, x: Tensor, y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Gradients of the mean cross-entropy at the true scale of the logits, each up to one positive factor for all."""
    logits = model(x)
    slopes = (logits.detach().double() / _SCALE).softmax(dim=1) - F.one_hot(y, logits.shape[1])
    # Sizes about 1 for the weights' gradients, whatever the depth of the network.
    size = (slopes.abs().max() * logits.detach().abs().max()).clamp(min=1e-300)
    found = torch.autograd.grad(
        logits, inputs, (slopes / size).to(logits.dtype), allow_unused=True, materialize_grads=True
    )
    return list(found)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines along dimension 0, in double precision, which holds the squares of features and gradients."""
    return F.cosine_similarity(a.detach().double(), b.detach().double(), dim=0, eps=_TINY)
