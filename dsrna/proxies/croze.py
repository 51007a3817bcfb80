"""CRoZe, consistency between a network and its perturbed self, as its authors' code computes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import weights_of
from dsrna.proxies.rescaled_network import RescaledNetwork
from dsrna.proxies.stages import features_noted, stages_of
from dsrna.proxies.working_copy import remove_batch_norm

_TINY = 1e-200
"""Floor under lengths, instead of torch's 1e-8, which would be another one for features of another size."""


class Croze(Proxy):
    """sum_m [sum (1 + cos(W'_m, W_m))] [sum |cos(g'_m, g_m)|] [sum (1 + cos(Z'_m, Z_m))], the released variant.

    For every convolution and linear layer m: W_m = |weights|; W'_m = W_m + weight_step ||W_m|| g_m / ||g_m||, which
    raises the loss; g and g' are the gradients of the mean cross-entropy, at (W, x) and (W', x'); Z the features of
    the layer's stage (:func:`~dsrna.proxies.stages.stages_of`); x' = x - eps sign(dL/dx) at W', in [0, 1], which
    lowers the loss. Cosines run along dimension 0 (output channels, images) and are summed over all others, so that
    scores grow with the network. BatchNorm is taken out, save in the residual reductions of NAS-Bench-201.

    Features grow to 1e40 and more without BatchNorm. The released code works in double precision; here features are
    brought back to a size of 1 after every block (:class:`~dsrna.proxies.rescaled_network.RescaledNetwork`), which
    changes no cosine, and single precision is enough.

    Differs from the released code: images are in [0, 1] and normalised by the network, where the code clips images
    that are normalised already; the cells' convolutions there have a bias; cosines with a vector shorter than 1e-8,
    which weights of the usual size don't bring about, are smaller there.

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
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        stages = stages_of(model)
        network = RescaledNetwork(model, stages.blocks, stages.classifier)
        weights = weights_of([layer for layer, _ in stages.layers])
        before = [weight.detach().clone() for weight in weights]
        x = x.to(before[0].dtype)
        with features_noted(stages) as features:
            gradients = _loss_gradients(network, x, y, weights)
        self._perturb(weights, gradients)
        images = x.clone().requires_grad_()
        (slope,) = _loss_gradients(network, images, y, [images])
        moved = (x - self.eps * slope.sign()).clamp(0, 1)
        with features_noted(stages) as moved_features:
            moved_gradients = _loss_gradients(network, moved, y, weights)
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
                direction = F.normalize(gradient.double().flatten(), dim=0, eps=_TINY).view_as(weight)
                weight.add_((self.weight_step * weight.double().norm() * direction).to(weight.dtype))


def _loss_gradients(network: RescaledNetwork, x: Tensor, y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Gradients of the mean cross-entropy of the true logits, each up to a positive factor of its own."""
    logits, true = network(x)
    slopes = true.softmax(dim=1) - F.one_hot(y, logits.shape[1])
    # Sizes about 1 for the weights' gradients, whatever the depth of the network.
    size = (slopes.abs().max() * logits.detach().abs().max()).clamp(min=_TINY)
    found = torch.autograd.grad(
        logits, inputs, (slopes / size).to(logits.dtype), allow_unused=True, materialize_grads=True
    )
    return list(found)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines along dimension 0, in double precision, which holds the squares of features and gradients."""
    return F.cosine_similarity(a.detach().double(), b.detach().double(), dim=0, eps=_TINY)
