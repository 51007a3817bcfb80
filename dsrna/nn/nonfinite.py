"""Which layer of a network makes a number NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Origin(NamedTuple):
    """Where numbers first are NaN or infinite.

    Attributes:
        backward: whether it is a gradient, or an output.
        module: name in the network, ``""`` for the network's own forward; the innermost one that holds the operation.
        kind: class of the module, in the backward pass that of autograd's operation.
    """

    backward: bool
    module: str
    kind: str

    def __str__(self) -> str:
        where = f"`{self.module}`" if self.module else "the network's own forward"
        return f"{'the backward' if self.backward else 'the forward'} pass of {where} ({self.kind})"


def origin_of_nonfinite(model: nn.Module, x: Tensor, slopes: Tensor | None = None) -> Origin | None:
    """Runs a network once more with hooks, and says where numbers first became NaN or infinite.

    The modes are those in which the network comes; a network of ``torch.compile`` is run as it was before. Gradients
    are let flow and no ``.grad`` is left. Cost: a forward and a backward pass, slowed down by hooks on every module and
    every operation: for use after a fault was seen.

    Args:
        model: network (N, ...) -> logits (N, K).
        x: (N, ...) images, finite.
        slopes: (N, K) gradient of a loss in the logits; None: that of their sum.

    Returns:
        The first place, or None where all numbers are finite.
    """
    model = getattr(model, "_orig_mod", model)
    with torch.inference_mode(False), torch.enable_grad(), _following(model) as trail:
        images = x.detach().clone().requires_grad_()
        logits = model(images)
        if trail.origin is None and logits.requires_grad:
            _watch_gradients(logits, trail)
            slopes = torch.ones_like(logits) if slopes is None else slopes.to(logits.dtype)
            torch.autograd.grad(logits, images, slopes, allow_unused=True)
    return trail.origin


class _Trail:
    """What the hooks note."""

    def __init__(self) -> None:
        self.origin: Origin | None = None
        self.makers: dict[Any, str] = {}  # node of autograd's graph -> the module that made it
        self.inside: list[str] = []  # modules whose forward runs now, the innermost last

    def note(self, origin: Origin) -> None:
        self.origin = self.origin or origin

    def made_by(self, tensors: Iterable[Tensor], module: str) -> None:
        for tensor in tensors:
            if tensor.grad_fn is not None:
                self.makers.setdefault(tensor.grad_fn, module)


@contextmanager
def _following(model: nn.Module) -> Iterator[_Trail]:
    """Inside, forward passes leave a trail: the first module with a bad output, and who made which node."""
    trail = _Trail()
    handles = []
    for name, module in model.named_modules():

        def enter(module: nn.Module, inputs: Any, options: Any, name: str = name) -> None:
            if trail.inside:  # what goes in here was made in a module that is still running, unless one has claimed it
                trail.made_by(_tensors((inputs, options)), trail.inside[-1])
            trail.inside.append(name)

        def leave(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            trail.inside.pop()
            found = list(_tensors(output))
            trail.made_by(found, name)
            if not _finite(found):
                trail.note(Origin(False, name, type(module).__name__))

        handles += [module.register_forward_pre_hook(enter, with_kwargs=True), module.register_forward_hook(leave)]
    try:
        yield trail
    finally:
        for handle in handles:
            handle.remove()


def _watch_gradients(logits: Tensor, trail: _Trail) -> None:
    """Notes the first operation that gets finite gradients and gives others."""
    pending = [(logits.grad_fn, "")]
    seen = set()
    while pending:
        node, consumer = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        maker = trail.makers.get(node, consumer)

        def check(to_inputs: Any, to_outputs: Any, node: Any = node, maker: str = maker) -> None:
            if trail.origin is None and _finite(_tensors(to_outputs)) and not _finite(_tensors(to_inputs)):
                trail.note(Origin(True, maker, node.name()))

        node.register_hook(check)
        pending += [(source, maker) for source, _ in node.next_functions]


def _finite(tensors: Iterable[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
