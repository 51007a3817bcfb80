"""What the bound engines can do, found out by trying: ``python -m dsrna.bounds.support`` prints it as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from dsrna.bounds.engines import ENGINES, REFERENCE_ENGINES, EngineBuilder
from dsrna.errors import UnsupportedError
from dsrna.nn.operations import OPERATIONS

_CHANNELS = 4
_SIZE = 6

_LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Conv2d": lambda: nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
    "Conv2d, grouped, dilated, strided": lambda: nn.Conv2d(_CHANNELS, _CHANNELS, 3, 2, 2, 2, groups=2),
    "BatchNorm2d": lambda: nn.BatchNorm2d(_CHANNELS),
    "ReLU": nn.ReLU,
    "MaxPool2d": lambda: nn.MaxPool2d(3, 2, 1),
    "MaxPool2d, ceil_mode": lambda: nn.MaxPool2d(2, 2, ceil_mode=True),
    "AvgPool2d": lambda: nn.AvgPool2d(3, 1, 1),
    "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d(1),
    "Dropout": lambda: nn.Dropout(0.5),
    "Flatten, Linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(_CHANNELS * _SIZE * _SIZE, 3)),
    "LeakyReLU": nn.LeakyReLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "permute": lambda: _Permuted(),
    "LayerNorm": lambda: nn.LayerNorm((_CHANNELS, _SIZE, _SIZE)),
    "GroupNorm": lambda: nn.GroupNorm(2, _CHANNELS),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(_CHANNELS),
    "products, quotients, roots": lambda: _Gate(),
    "matrix products, Softmax": lambda: _DotProducts(),
    "MultiheadAttention": lambda: _Attention(),
    "class token, qkv.unbind": lambda: _Fused(),
}
"""Layers of torch, those that aren't supported among them."""


class _Beside(nn.Module):
    """An operation on an edge beside another one, as in a cell."""

    def __init__(self, name: str, stride: int) -> None:
        super().__init__()
        self.operation = OPERATIONS[name](_CHANNELS, _CHANNELS, stride, True)
        self.other = nn.Conv2d(_CHANNELS, _CHANNELS, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.operation(x) + self.other(x)


class _Permuted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).relu()


class _Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.sigmoid() / (x.square() + 1).sqrt()


class _DotProducts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ x.transpose(2, 3)).softmax(3) @ x


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(_CHANNELS, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class _Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.qkv = nn.Parameter(torch.zeros(1, 1, _CHANNELS)), nn.Linear(_CHANNELS, 3 * _CHANNELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        heads = self.qkv(tokens).reshape(len(x), tokens.shape[1], 3, 2, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        return (query @ key.transpose(2, 3)).softmax(3) @ value


def support_table() -> str:
    """A Markdown table: operations of the search spaces and layers of torch, against engines.

    Raises:
        MissingPartError: auto_LiRPA isn't installed.
    """
    engines = ENGINES | REFERENCE_ENGINES
    operations: dict[str, Callable[[], nn.Module]] = {
        f"`{name}`, stride 1 and 2": partial(_both_strides, name) for name in OPERATIONS
    }
    lines = ["| | " + " | ".join(f"`{name}`" for name in engines) + " |", "|---" * (len(engines) + 1) + "|"]
    for title, build in (operations | _LAYERS).items():
        marks = ["yes" if _is_supported(engine, build()) else "no" for engine in engines.values()]
        lines.append(f"| {title} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def _both_strides(name: str) -> nn.Module:
    return nn.Sequential(*(_Beside(name, stride) for stride in (1, 2)))


def _is_supported(engine: EngineBuilder, layer: nn.Module) -> bool:
    torch.manual_seed(0)
    stem = nn.Conv2d(1, _CHANNELS, 1)
    x = torch.rand(1, 1, _SIZE, _SIZE)
    with torch.no_grad():
        width = layer.eval()(stem(x)).flatten(1).shape[1]
        try:
            engine("linf", None)(nn.Sequential(stem, layer, nn.Flatten(), nn.Linear(width, 2)), x, 0.1)
        except UnsupportedError:
            return False
    return True


if __name__ == "__main__":
    sys.stdout.write(support_table() + "\n")
