"""What every attack promises, as one function to call from a test."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dsrna.types import Norm

ROUNDING = 1e-6

AttackCall = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
"""(model, x, y, generator) -> adversarial examples."""


def tiny_classifier(classes: int = 3, seed: int = 0) -> nn.Sequential:
    """A small convolution net for (N, 2, 6, 6) images, in training mode, with the layers that modes matter to."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(4 * 6 * 6, classes),
        )


def check_attack(build: Callable[[Norm, float], AttackCall], eps: float = 0.1) -> None:
    """Runs an attack on tiny networks and checks what the contract says of it.

    In the ball and in [0, 1]; no gradient left, modes and flags as before; the same generator seed gives the same
    images; an image's example does not depend on its batch mates; accuracy does not rise; works under ``no_grad`` and
    ``inference_mode``; ``eps`` 0 changes nothing.

    Args:
        build: makes the attack for a norm and a radius.
        eps: radius used for both norms.

    Raises:
        AssertionError: the attack breaks the contract; the message says how.
    """
    for norm in ("linf", "l2"):
        model, x, y = _setting()
        attack = build(norm, eps)
        found = attack(model, x, y, _generator())
        _check_place(found, x, norm, eps)
        _check_untouched(attack, norm)
        assert torch.equal(found, attack(model, x, y, _generator())), f"{norm}: two runs with one seed differ"
        mates = torch.cat([x[:1], 1 - x[1:]])
        alone = attack(model, mates, y, _generator())[0]
        assert torch.allclose(alone, found[0], atol=1e-5), f"{norm}: an example depends on its batch mates"
        model.eval()
        correct, still_correct = (model(images).argmax(1) == y for images in (x, found))
        assert still_correct.sum() <= correct.sum(), f"{norm}: accuracy rises under attack"
        with torch.no_grad():
            assert torch.equal(found, attack(model, x, y, _generator())), f"{norm}: differs under no_grad"
        with torch.inference_mode():
            assert torch.equal(found, attack(model, x.clone(), y, _generator())), f"{norm}: differs in inference_mode"
        unmoved = build(norm, 0.0)(model, x, y, _generator())
        assert torch.equal(unmoved, x), f"{norm}: eps 0 moves the images"


def _check_place(found: Tensor, x: Tensor, norm: str, eps: float) -> None:
    assert not found.requires_grad, f"{norm}: the examples are not detached"
    assert found.dtype == x.dtype, f"{norm}: got {found.dtype}, expected {x.dtype}"
    assert bool((found >= 0).all() and (found <= 1).all()), f"{norm}: the examples leave [0, 1]"
    order = float("inf") if norm == "linf" else 2
    length = (found - x).flatten(1).norm(p=order, dim=1).max().item()
    assert length <= eps + ROUNDING, f"{norm}: the examples are {length:g} away, more than eps = {eps:g}"
    assert length > 0, f"{norm}: the attack does not move the images"


def _check_untouched(attack: AttackCall, norm: str) -> None:
    model, x, y = _setting()
    model[1].eval()  # a mixed state, which `train()` afterwards would not bring back
    weight, bias = model[0].parameters()
    bias.requires_grad_(False)
    weight.grad = torch.ones_like(weight)
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    attack(model, x, y, _generator())
    assert [module.training for module in model.modules()] == modes, f"{norm}: training flags are not restored"
    assert [parameter.requires_grad for parameter in model.parameters()] == flags, f"{norm}: requires_grad changed"
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items()), (
        f"{norm}: weights or running statistics changed"
    )
    first, *others = model.parameters()
    assert first.grad is not None, f"{norm}: an existing .grad was dropped"
    assert bool((first.grad == 1).all()), f"{norm}: an existing .grad changed"
    assert all(tensor.grad is None for tensor in (x, *others)), f"{norm}: a .grad was left behind"
    assert not x.requires_grad, f"{norm}: the images were changed to require gradients"


def _setting() -> tuple[nn.Sequential, Tensor, Tensor]:
    model = tiny_classifier()
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(8, 2, 6, 6, generator=draw)
    x[:, 0, 0, :2] = torch.tensor([0.0, 1.0])  # pixels on the edge of the box
    model.eval()
    y = model(x).argmax(dim=1)
    y[-1] = (y[-1] + 1) % 3  # one image is misclassified from the start
    return model.train(), x, y


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
