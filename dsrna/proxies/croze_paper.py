"""CRoZe by the formula of its paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks.fgsm import FGSM
from dsrna.functional.norms import image_norm, steepest_step
from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import gradients, weighted_layers, weights_of
from dsrna.proxies.working_copy import copied


class CrozePaper(Proxy):
    """sum_m Z_m P_m G_m over all convolutions and linear layers m.

    theta' = theta with every layer's weights moved by ``weight_step`` of their norm along the gradient, which raises
    the loss; x' an FGSM example for theta'. Z_m is the cosine between the layer's outputs f_theta(x) and f_theta'(x'),
    the mean over images; G_m the absolute cosine between the gradients g and g' of the mean cross-entropy at
    (theta, x) and (theta', x'); P_m the cosine between theta - learning_rate g and theta' - learning_rate g'.

    BatchNorm's statistics are those of the clean batch, held constant.

    The paper's radii and learning rate aren't known here; the defaults are ours, with the eps of its evaluation.

    Cost: three forward and backward passes.

    Args:
        weight_step: radius of the weights' move, relative to their norm.
        eps: radius of the images' move in [0, 1] pixel units, l_inf.
        learning_rate: of the one update.

    Source: Ha, Kim, Hwang, Generalizable lightweight proxy for robust NAS, NeurIPS 2023, eqs. 2-10; for the released
    code, which computes something else, see :class:`~dsrna.proxies.croze.Croze`.
    """

    batch_norm = "calibrated"

    def __init__(self, weight_step: float = 0.01, eps: float = 8 / 255, learning_rate: float = 0.1) -> None:
        self.weight_step = weight_step
        self.learning_rate = learning_rate
        self.attack = FGSM("linf", eps)

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        outputs, slopes = _outputs_and_gradients(model, x, y)
        perturbed = copied(model)
        with torch.no_grad():
            for weight, gradient in zip(weights_of(weighted_layers(perturbed)), slopes, strict=True):
                weight.add_(self.weight_step * image_norm(weight[None], 2) * steepest_step(gradient[None], "l2")[0])
        moved_outputs, moved_slopes = _outputs_and_gradients(perturbed, self.attack(perturbed, x, y), y)
        terms = []
        for layer, moved, z, moved_z, g, moved_g in zip(
            weighted_layers(model), weighted_layers(perturbed),
            outputs, moved_outputs, slopes, moved_slopes, strict=True,
        ):  # fmt: skip
            with torch.no_grad():
                updated = layer.get_parameter("weight") - self.learning_rate * g
                moved_updated = moved.get_parameter("weight") - self.learning_rate * moved_g
            features = _cosines(z, moved_z).mean()
            terms.append(features * _cosine(updated, moved_updated) * _cosine(g, moved_g).abs())
        return torch.stack(terms).sum()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return _cosines(a[None], b[None])[0]


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """(N,) cosines between rows of any length; 0 with a row of zeros."""
    return (steepest_step(a, "l2") * steepest_step(b, "l2")).flatten(1).sum(dim=1)


def _outputs_and_gradients(model: nn.Module, x: Tensor, y: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Output and loss gradient of every layer."""
    layers = weighted_layers(model)
    outputs: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[layer] = output.detach()

    hooks = [layer.register_forward_hook(note) for layer in layers]
    loss = F.cross_entropy(model(x), y)
    for hook in hooks:
        hook.remove()
    return [outputs[layer] for layer in layers], gradients(loss, weights_of(layers))
