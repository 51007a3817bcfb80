"""DARTS's supernet and steps, transcribed from the paper with nothing of dsrna in it: what speed is measured against.

Every mixed operation sums weight * operation(x) over modules, every step calls ``backward`` on the whole loss, and the
unrolled step builds a second network, as section 2.3 and Algorithm 1 of Liu, Simonyan, Yang, DARTS (ICLR 2019) have it.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NODES = 4
EDGES = sum(2 + node for node in range(NODES))


def relu_conv_bn(c_in: int, c_out: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=False))


def depthwise(c: int, size: int, stride: int, dilation: int) -> list[nn.Module]:
    padding = dilation * (size - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(c, c, size, stride, padding, dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c, affine=False),
    ]


class Halve(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.second = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.first(x), self.second(x[:, :, 1:, 1:])], dim=1))


class Nothing(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class Mixed(nn.Module):
    def __init__(self, c: int, stride: int) -> None:
        super().__init__()
        norm = nn.BatchNorm2d
        self.operations = nn.ModuleList(
            [
                Nothing(stride),
                nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(c, affine=False)),
                nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm(c, affine=False)),
                nn.Identity() if stride == 1 else Halve(c, c),
                nn.Sequential(*depthwise(c, 3, stride, 1), *depthwise(c, 3, 1, 1)),
                nn.Sequential(*depthwise(c, 5, stride, 1), *depthwise(c, 5, 1, 1)),
                nn.Sequential(*depthwise(c, 3, stride, 2)),
                nn.Sequential(*depthwise(c, 5, stride, 2)),
            ]
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(weight * operation(x) for weight, operation in zip(weights, self.operations, strict=True))


class Cell(nn.Module):
    def __init__(self, c_before: int, c_previous: int, c: int, reduction: bool, after_reduction: bool) -> None:
        super().__init__()
        self.reduction = reduction
        self.before = Halve(c_before, c) if after_reduction else relu_conv_bn(c_before, c)
        self.previous = relu_conv_bn(c_previous, c)
        self.edges = nn.ModuleList(
            Mixed(c, 2 if reduction and source < 2 else 1) for node in range(NODES) for source in range(2 + node)
        )

    def forward(self, before: Tensor, previous: Tensor, weights: Tensor) -> Tensor:
        states = [self.before(before), self.previous(previous)]
        edge = 0
        for _ in range(NODES):
            states.append(sum(self.edges[edge + i](x, weights[edge + i]) for i, x in enumerate(states)))
            edge += len(states) - 1
        return torch.cat(states[-NODES:], dim=1)


class PublishedDarts(nn.Module):
    """The supernet with its alphas.

    Args:
        channels: C of the first cells.
        cells: reductions stand at 1/3 and 2/3 of them.
        classes: logits.
    """

    def __init__(self, channels: int, cells: int, classes: int) -> None:
        super().__init__()
        c = channels
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        before, previous, after = 3 * c, 3 * c, False
        self.cells = nn.ModuleList()
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            c = 2 * c if reduction else c
            self.cells.append(Cell(before, previous, c, reduction, after))
            before, previous, after = previous, NODES * c, reduction
        self.classifier = nn.Linear(previous, classes)
        self.alphas = nn.ParameterList([nn.Parameter(1e-3 * torch.randn(EDGES, 8)) for _ in range(2)])

    def weights(self) -> list[nn.Parameter]:
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("alphas")]

    def forward(self, x: Tensor) -> Tensor:
        before = previous = self.stem(x)
        for cell in self.cells:
            weights = F.softmax(self.alphas[1 if cell.reduction else 0], dim=-1)
            before, previous = previous, cell(before, previous, weights)
        return self.classifier(previous.mean(dim=(2, 3)))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self(x), y)


def weight_step(network: PublishedDarts, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    network.loss(x, y).backward()
    nn.utils.clip_grad_norm_(network.weights(), 5.0)
    optimizer.step()


def architecture_step(network: PublishedDarts, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    network.loss(x, y).backward()
    optimizer.step()


def unrolled_step(network: PublishedDarts, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, rate: float) -> None:
    """``x`` and ``y`` hold a training batch and a validation batch."""
    optimizer.zero_grad()
    weights = network.weights()
    slopes = torch.autograd.grad(network.loss(x[0], y[0]), weights)
    ahead = copy.deepcopy(network)
    with torch.no_grad():
        for weight, slope in zip(ahead.weights(), slopes, strict=True):
            weight -= rate * (slope + 3e-4 * weight)
    ahead.zero_grad()
    ahead.loss(x[1], y[1]).backward()
    direction = [weight.grad for weight in ahead.weights()]
    eps = 0.01 / torch.cat([part.flatten() for part in direction]).norm()
    sides = []
    for sign in (1, -2, 1):
        with torch.no_grad():
            for weight, part in zip(weights, direction, strict=True):
                weight += sign * eps * part
        if len(sides) < 2:
            sides.append(torch.autograd.grad(network.loss(x[0], y[0]), list(network.alphas)))
    for alpha, direct, above, below in zip(network.alphas, ahead.alphas, *sides, strict=True):
        alpha.grad = direct.grad - rate * (above - below) / (2 * eps)
    optimizer.step()
