"""A network made only of operations that bound libraries handle soundly."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from dsrna.bounds.lowering.graph import Graph, Node, Value
from dsrna.types import OperationWeights


class Add(nn.Module):
    """Sum of two tensors."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Concat(nn.Module):
    """Concatenation over channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, dim=1)


class Mask(nn.Module):
    """Product with constants (1, 1, H, W)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


class LoweredNetwork(nn.Module):
    """The network of a graph: dense Conv2d, Linear, ReLU, Add, Mask, Concat and Flatten, nothing else.

    Its weights are copies of values computed from the original network's weights, BatchNorm statistics and operation
    weights. Where those have moved, :meth:`refresh` computes the values anew; nothing is traced again.

    Made by :func:`dsrna.bounds.lowering.lower.lower`.

    Args:
        graph: the graph.
        output: the node of the logits.
        operation_weights: gives the current operation weights of a supernet, or None.
    """

    def __init__(
        self, graph: Graph, output: Node, operation_weights: Callable[[], OperationWeights] | None = None
    ) -> None:
        super().__init__()
        nodes = graph.needed(output)
        position = {node: number for number, node in enumerate(nodes)}
        self._parents = tuple(tuple(position[parent] for parent in node.parents) for node in nodes)
        # In a function, as a module would become a part of this one.
        self._operation_weights = lambda: None if operation_weights is None else operation_weights()
        self._values: dict[str, Value] = {}
        self.operations = nn.ModuleList()
        with torch.random.fork_rng(devices=[]):  # layers draw initial weights, which are of no use here
            self.operations.extend(_module(node) for node in nodes)
        for number, node in enumerate(nodes):
            for name, value in (("weight", node.kernel), ("bias", node.bias)):
                if value is not None:
                    self._values[f"operations.{number}.{name}"] = value
        self.to(graph.like).requires_grad_(False).eval()
        self.refresh()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) in [0, 1] to logits (N, K), as the original network did at the last refresh."""
        return self._outputs(x)[-1]

    def magnitudes(self, x: Tensor) -> Tensor:
        """(N, K) sums of the magnitudes of what logits are sums of, the scale of their rounding errors."""
        outputs, last = self._outputs(x), self.operations[-1]
        parts = [outputs[parent].abs() for parent in self._parents[-1]]
        if isinstance(last, nn.Linear):
            return nn.functional.linear(parts[0], last.weight.abs(), None if last.bias is None else last.bias.abs())
        return sum(parts[1:], parts[0]) if isinstance(last, Add) else outputs[-1].abs()

    def _outputs(self, x: Tensor) -> list[Tensor]:
        outputs = [x]
        for operation, parents in zip(list(self.operations)[1:], self._parents[1:], strict=True):
            outputs.append(operation(*(outputs[parent] for parent in parents)))
        return outputs

    def values(self) -> dict[str, Tensor]:
        """Parameter name -> its current value, differentiable in the original network's weights and operation weights.

        ``torch.func.functional_call(lowered, lowered.values(), x)`` is the original network's output with gradients.
        """
        weights = self._operation_weights()
        return {name: value(weights) for name, value in self._values.items()}

    @torch.no_grad()
    def refresh(self) -> None:
        """Copies the current values into the parameters."""
        parameters = dict(self.named_parameters())
        for name, value in self.values().items():
            parameters[name].copy_(value)


def _module(node: Node) -> nn.Module:
    bias = node.bias is not None
    if node.kind == "conv":
        channels = (node.parents[0].shape[0], node.shape[0])
        return nn.Conv2d(*channels, node.size, node.stride, node.padding, bias=bias)
    if node.kind == "linear":
        return nn.Linear(node.parents[0].shape[0], node.shape[0], bias=bias)
    if node.kind == "mask":
        return Mask(cast(Tensor, node.mask))
    return {"input": nn.Identity, "relu": nn.ReLU, "add": Add, "concat": Concat, "flatten": nn.Flatten}[node.kind]()
