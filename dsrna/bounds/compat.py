"""The bound library auto_LiRPA, of the version that is installed, imported when it is first needed."""

from __future__ import annotations

import importlib
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsrna.errors import MissingPartError


def auto_lirpa() -> Any:
    """The package auto_LiRPA.

    Version 0.3 was made for torch < 1.13 and numpy < 2; while it is being imported, the two names that it misses there
    are supplied. From 0.4 on nothing is done.

    Raises:
        MissingPartError: it isn't installed.
    """
    try:
        if not _is_old():
            return importlib.import_module("auto_LiRPA")
        if "auto_LiRPA" in sys.modules:
            return sys.modules["auto_LiRPA"]
        with _names_of_old_numpy_and_torch(), _logging_and_warnings_kept():
            return importlib.import_module("auto_LiRPA")
    except (PackageNotFoundError, ModuleNotFoundError) as error:
        raise MissingPartError(
            f"Expected auto_LiRPA for the engines auto_lirpa_*, got: {error}. Install it with "
            "`pip install --no-deps auto-lirpa==0.3 appdirs`, or use another engine, which needs nothing."
        ) from error


def bounded_module(network: nn.Module, x: Tensor, conv_mode: str = "matrix") -> Any:
    """A lowered network as auto_LiRPA's BoundedModule.

    Args:
        network: a :class:`~dsrna.bounds.lowering.lowered_network.LoweredNetwork`; traced, which takes seconds for large
            ones.
        x: (N, C, H, W) images of the size, dtype and device to come.
        conv_mode: ``"matrix"``; in ``"patches"`` mode auto_LiRPA violates bounds on grouped and dilated convolutions
            and knows no products with constant masks.
    """
    library = auto_lirpa()
    options: dict[str, Any] = {"conv_mode": conv_mode, "param": {"auto_requires_grad": False}}
    if not _is_old():
        return library.BoundedModule(network, x, bound_opts=options)
    # Leaving out the values that no ReLU needs is faster, but it makes identities of single precision in 0.3.
    options["sparse_intermediate_bounds"] = x.dtype == torch.float32
    with _tracing_as_of_old_torch():
        return _old_bounded_module(library)(network, x, bound_opts=options)


def _is_old() -> bool:
    major, minor = (int(part) for part in version("auto_LiRPA").split(".")[:2])
    return (major, minor) < (0, 4)


@contextmanager
def _names_of_old_numpy_and_torch() -> Iterator[None]:
    arraysetops = types.ModuleType("numpy.lib.arraysetops")
    arraysetops.__dict__["isin"] = np.isin
    helper = importlib.import_module("torch.onnx.symbolic_helper")
    sys.modules["numpy.lib.arraysetops"] = arraysetops
    try:
        with _attribute_set(helper, "_set_opset_version", _set_opset_version):
            yield
    finally:
        del sys.modules["numpy.lib.arraysetops"]


@contextmanager
def _logging_and_warnings_kept() -> Iterator[None]:
    """Takes back what an import of auto_LiRPA does to the root logger and the warning filters."""
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        with warnings.catch_warnings(record=True):  # it sets filters of its own, and warns of its use of torch.jit
            yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@contextmanager
def _tracing_as_of_old_torch() -> Iterator[None]:
    """The exporter's settings and the graph nodes' item access that 0.3 relies on, for the time of a trace."""
    settings = _exporter_settings()
    with (
        _attribute_set(settings, "autograd_inlining", False),
        _attribute_set(settings, "export_onnx_opset_version", settings.export_onnx_opset_version),
        _attribute_set(torch._C.Node, "__getitem__", _attribute),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # that tracing is deprecated, once for each call
        yield


@contextmanager
def _attribute_set(owner: Any, name: str, value: Any) -> Iterator[None]:
    missing = not hasattr(owner, name)
    before = getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _exporter_settings() -> Any:
    exporter = importlib.import_module("torch.onnx.utils")
    return exporter._optimize_graph.__globals__["GLOBALS"]


def _set_opset_version(opset: int) -> None:
    _exporter_settings().export_onnx_opset_version = opset


def _attribute(node: Any, name: str) -> Any:
    return getattr(node, node.kindOf(name))(name)


def _old_bounded_module(library: Any) -> Any:
    class CompatibleBoundedModule(library.BoundedModule):
        def _named_members(self, *args: Any, remove_duplicate: bool = True, **kwargs: Any) -> Any:
            return super()._named_members(*args, **kwargs)  # which always removes duplicates

    return CompatibleBoundedModule
