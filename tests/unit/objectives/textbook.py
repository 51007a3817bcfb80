"""A small network in training mode, and interval arithmetic through it by the formulas of its layers."""

import torch
from torch import nn
from torch.nn import functional as F


def network():
    """Convolution, BatchNorm, ReLU, linear; in training mode, with running statistics far from the batch's."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)
    ).double()
    nn.init.uniform_(model[1].weight, -1, 1)
    nn.init.constant_(model[1].running_mean, 7.0)
    return model


def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.rand(5, 2, 6, 6, generator=draw).double(), torch.tensor([0, 3, 1, 2, 3])


class Textbook:
    """The network's layers by their formulas, normalised by the statistics of the clean images."""

    def __init__(self, model, clean):
        self.conv, norm, _, _, self.linear = model
        before = self.conv(clean)
        mean, variance = before.mean((0, 2, 3)), before.var((0, 2, 3), unbiased=False)
        self.scale = (norm.weight / (variance + norm.eps).sqrt()).view(-1, 1, 1)
        self.shift = norm.bias.view(-1, 1, 1) - mean.view(-1, 1, 1) * self.scale

    def logits(self, x):
        return self.linear(F.relu(self.conv(x) * self.scale + self.shift).flatten(1))

    def margins(self, x, y):
        logits = self.logits(x)
        return torch.stack(
            [torch.stack([logits[n, t] - logits[n, j] for j in range(4) if j != t]) for n, t in enumerate(y)]
        )

    def bounds(self, x, eps, y):
        low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
        centre = self.conv((low + high) / 2) * self.scale + self.shift
        radius = F.conv2d((high - low) / 2, self.conv.weight.abs(), padding=1) * self.scale.abs()
        low, high = F.relu(centre - radius).flatten(1), F.relu(centre + radius).flatten(1)
        margins = []
        for n, true in enumerate(y):
            rows = [j for j in range(4) if j != true]
            weight = self.linear.weight[true] - self.linear.weight[rows]
            bias = self.linear.bias[true] - self.linear.bias[rows]
            margins.append(weight.clamp(min=0) @ low[n] + weight.clamp(max=0) @ high[n] + bias)
        return torch.stack(margins)


def loss_of(margins):
    """-log of the true class's probability, logits taken relative to its own; the mean."""
    return (1 + torch.exp(-margins).sum(1)).log().mean()


def check_loss_and_gradients(loss, model, expected, reference):
    """A network's loss, and its gradient in every weight, are those of its copy's expected loss."""
    torch.testing.assert_close(loss, expected)
    found = torch.autograd.grad(loss, list(model.parameters()))
    for one, other in zip(found, torch.autograd.grad(expected, list(reference.parameters())), strict=True):
        torch.testing.assert_close(one, other)
