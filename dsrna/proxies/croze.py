"""CRoZe, consistency between a network and its perturbed self, as its authors' code computes it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import loss_gradients, weighted_layers, weights_of
from dsrna.proxies.stages import features_noted, stages_of
from dsrna.proxies.working_copy import remove_batch_norm

_SGD_STEP = 1e-3
_SMALLEST_LENGTH = 1e-30


class Croze(Proxy):
    """sum_m [sum (1 + cos(W'_m, W_m))] [sum |cos(g'_m, g_m)|] [sum (1 + cos(Z'_m, Z_m))], the released variant.

    For every convolution and linear layer m: W_m = |weights|; W'_m = W_m + weight_step ||W_m|| g_m / ||g_m||, which
    raises the loss; g and g' are the gradients of the mean cross-entropy, at (W, x) and (W', x'); Z the features of
    the layer's stage (:func:`~dsrna.proxies.stages.stages_of`); x' = x - eps sign(dL/dx) at W', in [0, 1], which
    lowers the loss. Cosines run along dimension 0 (output channels, images) and are summed over all others, so that
    scores grow with the network. BatchNorm is taken out, save in the residual reductions of NAS-Bench-201; numbers are
    of double precision.

    Differs from the released code: images are in [0, 1] and normalised by the network, where the code clips images
    that are normalised already; the cells' convolutions there have a bias.

    Cost: three forward and backward passes in double precision.

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
        model, x = model.double(), x.double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        perturbed = copy.deepcopy(model)
        features, gradients = _features_and_gradients(model, x, y)
        self._perturb(weights_of(weighted_layers(perturbed)), gradients)
        moved_features, moved_gradients = _features_and_gradients(perturbed, self._move(perturbed, x, y), y)
        similar = [_sum_of_shifted_cosines(a, b) for a, b in zip(moved_features, features, strict=True)]
        with torch.no_grad():
            terms = [
                _sum_of_shifted_cosines(moved.get_parameter("weight"), layer.get_parameter("weight"))
                * F.cosine_similarity(moved_gradient, gradient, dim=0).abs().sum()
                * similar[stage]
                for (layer, stage), moved, gradient, moved_gradient in zip(
                    stages_of(model).layers, weighted_layers(perturbed), gradients, moved_gradients, strict=True
                )
            ]
        return torch.stack(terms).abs().sum()

    def _perturb(self, weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Moves the weights to where the loss is higher."""
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                # The difference of weights that a step of SGD makes, with its rounding, as in the released code.
                step = (weight + _SGD_STEP * gradient) - weight
                weight.add_(self.weight_step * weight.norm() / (step.norm() + _SMALLEST_LENGTH) * step)

    def _move(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """x'."""
        images = x.detach().clone().requires_grad_()
        model.requires_grad_(False)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), y), images)
        model.requires_grad_(True)
        return (x - self.eps * gradient.sign()).clamp(0, 1)


def _features_and_gradients(model: nn.Module, x: Tensor, y: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The features of every stage, and the loss gradients of every layer."""
    with features_noted(stages_of(model)) as features:
        gradients = loss_gradients(model, x, y, weights_of(weighted_layers(model)))
    return [feature.detach() for feature in features], gradients


def _sum_of_shifted_cosines(a: Tensor, b: Tensor) -> Tensor:
    return (1 + F.cosine_similarity(a, b, dim=0)).sum()
