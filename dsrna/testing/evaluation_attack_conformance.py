"""What every attack of the evaluation promises, as one function to call from a test."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsrna.errors import DsrnaError, NonFiniteError
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.testing.tiny_networks import faulty_network
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled
from dsrna.types import Norm, Threat

ROUNDING = 1e-5
SMALL: dict[Norm, float] = {"linf": 0.1, "l2": 0.6, "l1": 4.0}
LARGE: dict[Norm, float] = {"linf": 0.3, "l2": 2.5, "l1": 14.0}
"""Radii; in the large balls anything that looks for it finds another class."""

_EXPONENTS: dict[Norm, float] = {"linf": math.inf, "l2": 2, "l1": 1}
_KEY = re.compile(r"\w[\w.+-]*")


class EvaluationAttack(Protocol):
    """The part of an evaluation attack's contract that the suite uses."""

    @property
    def key(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def norms(self) -> tuple[Norm, ...]: ...

    def examples(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> tuple[Tensor, Tensor]: ...
    def procedure(self, threat: Threat) -> Any: ...
    def options(self) -> dict[str, Any]: ...


def check_evaluation_attack(attack: EvaluationAttack) -> None:
    """Runs an attack on tiny networks in every norm that it knows and checks what the contract says of it.

    Examples lie in the ball around the images as they were given, and in [0, 1], in their type; what withstood is what
    the network in evaluation mode gets right on the examples; it finds something in a large ball and nothing in one of
    radius 0; the same seed gives the same examples, whatever torch's global generator, which is left where it was; the
    same under ``no_grad`` and ``inference_mode``; a logit that isn't a number is refused, as is a gradient unless it
    uses none; images, weights, buffers, modes, flags, hooks and ``.grad`` are as before to the last bit, after an error
    too; its key can be a file's name, its settings are plain, its engine has a version.

    How strong it is depends on the attack and is not checked here.

    Args:
        attack: the attack.

    Raises:
        AssertionError: the attack breaks the contract; the message says how.
    """
    _check_described(attack)
    for norm in attack.norms:
        try:
            _check_untouched(attack, norm)
            _check_place(attack, norm)
            _check_finds(attack, norm)
            _check_repeats(attack, norm)
            _check_not_finite(attack, norm)
        except AssertionError as error:
            raise AssertionError(f"{norm}: {error}") from error


def _check_described(attack: EvaluationAttack) -> None:
    assert _KEY.fullmatch(attack.key), f"the key {attack.key!r} is no name for a file"
    try:
        json.dumps(attack.options())
    except (TypeError, ValueError) as error:
        raise AssertionError(f"the settings are no plain values: {error}") from error
    for norm in attack.norms:
        try:
            described = attack.procedure(Threat(norm, SMALL[norm]))
            assert described.version, "the engine has no version"
        except ImportError as error:
            raise AssertionError(f"the engine isn't an installed package: {error}") from error
        assert described.steps >= 1, f"expected a number of steps, got {described.steps}"


def _check_place(attack: EvaluationAttack, norm: Norm) -> None:
    for dtype in (torch.float32, torch.float64):
        model, x, y = _setting(dtype)
        images = x.clone()
        found, standing = _examples(attack, model, x, y, Threat(norm, SMALL[norm]))
        assert found.shape == x.shape, f"got examples of shape {tuple(found.shape)}, expected {tuple(x.shape)}"
        assert found.dtype == dtype, f"got {found.dtype}, expected {dtype}"
        assert not found.requires_grad, "the examples are not detached"
        assert bool((found >= 0).all() and (found <= 1).all()), "the examples leave [0, 1]"
        farthest = (found - images).flatten(1).norm(p=_EXPONENTS[norm], dim=1).max().item()
        assert farthest <= SMALL[norm] * (1 + ROUNDING) + ROUNDING, (
            f"the examples are {farthest:g} away from the images, more than eps = {SMALL[norm]:g}"
        )
        with torch.no_grad():
            expected = model.eval()(found).argmax(1) == y
        assert torch.equal(standing, expected), "what withstood isn't what the network gets right on the examples"


def _check_finds(attack: EvaluationAttack, norm: Norm) -> None:
    model, x, y = _setting()
    found, standing = _examples(attack, model, x, y, Threat(norm, LARGE[norm]))
    assert not standing.all(), f"nothing is found within {LARGE[norm]:g} where almost anything would do"
    found, standing = _examples(attack, model, x, y, Threat(norm, 0.0))
    assert torch.equal(found, x), "eps 0 moves the images"
    assert standing.all(), "without moving anything an image is lost that the network gets right"


def _check_repeats(attack: EvaluationAttack, norm: Norm) -> None:
    model, x, y = _setting()
    threat = Threat(norm, SMALL[norm])
    found, _ = _examples(attack, model, x, y, threat)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        again, _ = _examples(attack, model, x, y, threat)
    assert torch.equal(found, again), "two runs with one seed differ"
    with torch.no_grad():
        assert torch.equal(found, _examples(attack, model, x, y, threat)[0]), "differs under no_grad"
    with torch.inference_mode():
        assert torch.equal(found, _examples(attack, model, x.clone(), y, threat)[0]), "differs in inference_mode"


def _check_untouched(attack: EvaluationAttack, norm: Norm) -> None:
    model, x, y = _setting()
    images, classes, threat = x.clone(), y.clone(), Threat(norm, SMALL[norm])
    with unsettled(model), left_as_it_was(model):
        _examples(attack, model, x, y, threat)
    assert torch.equal(x, images), "the images changed"
    assert torch.equal(y, classes), "the classes changed"
    assert x.grad is None, "the images were given a .grad"
    assert not x.requires_grad, "the images were changed to require gradients"
    with unsettled(model), left_as_it_was(model):
        try:
            attack.examples(nn.Sequential(model, Failing()), x, y, threat, 0)
        except MadeUpError:
            return
        raise AssertionError("the attack swallows an error of the network, or doesn't run it")


def _check_not_finite(attack: EvaluationAttack, norm: Norm) -> None:
    _, x, _ = _setting()
    x[2, 0, 0, 0] = 0.9
    for fault in ("nan logits", *(["nan gradient"] if attack.kind != "black_box" else [])):
        model = faulty_network(fault, x[0].numel())
        with torch.no_grad():
            y = model(x).nan_to_num(0, 0, 0).argmax(1)
        try:
            attack.examples(model, x, y, Threat(norm, SMALL[norm]), 0)
        except NonFiniteError:
            continue
        raise AssertionError(f"a network with {fault.replace('nan', 'NaN')} is attacked without a NonFiniteError")


def _examples(
    attack: EvaluationAttack, model: nn.Module, x: Tensor, y: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    try:
        return attack.examples(model, x, y, threat, 0)
    except DsrnaError as error:
        raise AssertionError(f"what the attack found is refused: {error}") from error


def _setting(dtype: torch.dtype = torch.float32) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network in training mode, and images that it gets right in evaluation mode."""
    model = tiny_classifier().to(dtype)
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(6, 2, 6, 6, generator=draw).to(dtype)
    x[:, 0, 0, :2] = torch.tensor([0.0, 1.0])  # pixels on the edge of the box
    with torch.no_grad():
        y = model.eval()(x).argmax(dim=1)
    return model.train(), x, y
