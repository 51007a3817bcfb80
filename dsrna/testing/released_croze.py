"""CRoZe's released procedure, step by step: what the proxy must equal, and what it must be faster than."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def released_croze(
    model: nn.Module, x: Tensor, y: Tensor, cell: type[nn.Module], cells_per_stage: int, points: Sequence[str],
    weight_step: float = 2.0, eps: float = 0.01,
) -> float:  # fmt: skip
    """The score, by the same passes in the same precision as the released code.

    Args:
        model: network whose BatchNorm is gone as there, see :func:`without_batch_norm`; it isn't touched.
        x: (N, C, H, W) images in [0, 1].
        y: (N,) classes.
        cell: type of the cells, which are counted.
        cells_per_stage: the number of cells by which the count is divided.
        points: names of modules whose outputs are the features, in order; the classifier's input is appended.
        weight_step, eps: as in :class:`~dsrna.proxies.croze.Croze`.
    """
    network, x = copy.deepcopy(model).double().train(), x.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    perturbed = copy.deepcopy(network)
    logits, features = _run(network, x, points)
    F.cross_entropy(logits, y).backward()
    _perturb(perturbed, x, y, weight_step)
    images = x.clone().requires_grad_()
    F.cross_entropy(perturbed(images), y).backward()
    assert images.grad is not None
    moved = (x - eps * images.grad.sign()).clamp(0, 1)
    perturbed.zero_grad()
    moved_logits, moved_features = _run(perturbed, moved, points)
    F.cross_entropy(moved_logits, y).backward()

    total, begun = 0.0, 0
    for layer, other in zip(network.modules(), perturbed.modules(), strict=True):
        begun += isinstance(layer, cell)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.grad is not None:
            stage = begun // cells_per_stage + isinstance(layer, nn.Linear)
            assert isinstance(other, nn.Conv2d | nn.Linear)
            assert other.weight.grad is not None
            weights = (1 + _cosines(other.weight, layer.weight)).sum()
            slopes = _cosines(other.weight.grad, layer.weight.grad).abs().sum()
            total += (weights * slopes * (1 + _cosines(moved_features[stage], features[stage])).sum()).abs().item()
    return total


def without_batch_norm(model: nn.Module, keep: Sequence[type[nn.Module]] = ()) -> nn.Module:
    """A copy in which BatchNorm is the identity, save inside modules of the types ``keep``."""

    def remove(module: nn.Module) -> None:
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif not isinstance(child, tuple(keep)):
                remove(child)

    copied = copy.deepcopy(model)
    remove(copied)
    return copied


def _run(network: nn.Module, images: Tensor, points: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """Logits and features."""
    features: list[Tensor] = []

    def note(module: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        features.append(output if isinstance(output, Tensor) else output[1])

    def note_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(inputs[0])

    hooks = [network.get_submodule(point).register_forward_hook(note) for point in points]
    classifier = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    hooks.append(classifier.register_forward_pre_hook(note_input))
    logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits, features


def _perturb(network: nn.Module, x: Tensor, y: Tensor, weight_step: float) -> None:
    """Moves the weights along one step that raises the loss, by a multiple of each layer's own norm."""
    stepped = copy.deepcopy(network)
    optimizer = torch.optim.SGD(stepped.parameters(), lr=0.001)
    optimizer.zero_grad()
    (-F.cross_entropy(stepped(x), y)).backward()
    optimizer.step()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("weight") and weight.ndim > 1:
                difference = stepped.get_parameter(name) - weight
                weight.add_(weight_step * weight.norm() / (difference.norm() + 1e-30) * difference)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """Along dimension 0, with the same floor under lengths as torch's."""
    return F.cosine_similarity(a, b, dim=0)
