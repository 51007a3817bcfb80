"""The engines by auto_LiRPA: what surrounds them. Soundness itself is in tests/conformance/test_bounds.py."""

import builtins
import importlib
import logging
import sys
import warnings

import pytest
import torch
from torch import nn

from dsrna.bounds import auto_lirpa, compat
from dsrna.bounds.auto_lirpa import AutoLirpa
from dsrna.errors import ConfigError, MissingPartError, UnsupportedError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet


@pytest.fixture(autouse=True)
def _auto_lirpa(request):
    if request.node.name.startswith("test_absence"):
        return
    try:
        compat.auto_lirpa()
    except MissingPartError as error:
        pytest.skip(str(error))


def model():
    torch.manual_seed(0)
    space = DartsSpace(nodes=1)
    supernet = space.supernet((2, 4, 4), 3, 1, 2, mean=(0.4, 0.5), std=(0.3, 0.2))
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
    return RelaxedSupernet(supernet, Darts(1.0).initial(space)).double()


def batch():
    x = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.tensor([0, 1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["CROWN-IBP", "CROWN"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradients_to_alphas_and_weights_agree_with_finite_differences(method, norm):
    network = model()
    x, y = batch()
    bound = AutoLirpa(norm, method=method)
    parameters = [network.architecture.alphas["reduce"], network.supernet.classifier.weight]
    parameters.append(network.supernet.cells[0].edges[0].operations[4][1].weight)

    def score():
        return bound(network, x, 1e-3, y).lower.sum()

    gradients = torch.autograd.grad(score(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn_like(parameter)
        with torch.no_grad():
            parameter.add_(1e-6 * direction)
            above = score()
            parameter.sub_(2e-6 * direction)
            below = score()
            parameter.add_(1e-6 * direction)
        torch.testing.assert_close((gradient * direction).sum(), (above - below) / 2e-6, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_gradient_to_eps_agrees_with_finite_differences():
    network = model()
    x, y = batch()
    eps = torch.full((3,), 1e-3, dtype=torch.float64, requires_grad=True)
    for norm in ("linf", "l2"):
        bound = AutoLirpa(norm)
        (gradient,) = torch.autograd.grad(bound(network, x, eps, y).lower.sum(), eps)
        with torch.no_grad():
            above, below = (bound(network, x, eps + step, y).lower.sum(dim=1) for step in (1e-8, -1e-8))
        torch.testing.assert_close(gradient, (above - below) / 2e-8, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_values_are_taken_anew_without_tracing_anew(monkeypatch):
    network = model()
    x, _ = batch()
    bound = AutoLirpa("linf")
    bound(network, x, 1e-3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        network.train()(x)
    monkeypatch.setattr(auto_lirpa, "bounded_module", None)
    moved = bound(network, x[:2], 1e-3)  # another batch size needs no trace either
    monkeypatch.undo()
    torch.testing.assert_close(moved, AutoLirpa("linf")(network, x[:2], 1e-3))
    other = model()
    torch.testing.assert_close(bound(other, x, 1e-3), AutoLirpa("linf")(other, x, 1e-3))


@pytest.mark.slow
def test_sub_batches_give_the_same():
    network = model()
    x, y = batch()
    eps = torch.tensor([0.0, 1e-3, 2e-3], dtype=torch.float64)
    torch.testing.assert_close(
        AutoLirpa("l2", 2, "CROWN")(network, x, eps, y), AutoLirpa("l2", method="CROWN")(network, x, eps, y)
    )


def test_unsupported_operation_is_named():
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.Softplus())
    with pytest.raises(UnsupportedError, match=r"2 \(Softplus\): No bound is known for torch function `softplus`"):
        AutoLirpa("linf")(network, torch.rand(1, 2, 4, 4), 0.1)


def test_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"CROWN-IBP, CROWN, got 'IBP'.*\(conf: method\)"):
        AutoLirpa(method="IBP")


def test_use_leaves_no_trace_in_torch_numpy_logging_and_warnings():
    settings = compat._exporter_settings()
    state = dict(vars(settings)), list(logging.root.handlers), logging.root.level, list(warnings.filters)
    AutoLirpa("linf")(model(), batch()[0], 1e-3)
    assert (dict(vars(settings)), list(logging.root.handlers), logging.root.level, list(warnings.filters)) == state
    assert "numpy.lib.arraysetops" not in sys.modules
    assert not hasattr(torch._C.Node, "__getitem__")
    assert not hasattr(importlib.import_module("torch.onnx.symbolic_helper"), "_set_opset_version")


def test_absence_names_the_command(monkeypatch):
    def missing(name):
        raise compat.PackageNotFoundError(name)

    monkeypatch.setattr(compat, "version", missing)
    with pytest.raises(MissingPartError, match=r"pip install --no-deps auto-lirpa==0\.3"):
        AutoLirpa("linf")(model(), batch()[0], 1e-3)


def test_absence_of_what_it_imports_names_the_command_too(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("auto_LiRPA", "appdirs")]:
        monkeypatch.delitem(sys.modules, name)
    found = builtins.__import__

    def without_appdirs(name, *arguments):
        if name == "appdirs":
            raise ModuleNotFoundError("No module named 'appdirs'")
        return found(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_appdirs)
    monkeypatch.setattr(compat, "version", lambda name: "0.3")
    with pytest.raises(MissingPartError, match="appdirs"):
        compat.auto_lirpa()
