"""How wide bounds of LayerNorm, products, softmax and attention are, beside auto_LiRPA's on the same networks.

Run with auto_LiRPA 0.7.1 on the path: ``python experiments/bench/attention_bounds.py``. It bounds the networks as they
are; LayerNorm, which it has no operation for, is written out for it. Prints a Markdown table of mean widths, and stops
where a sampled point lies outside of any bounds.
"""

from __future__ import annotations

import math

import torch
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm
from torch import Tensor, nn

from dsrna.bounds.engines import bound_engine

METHODS = {"ibp": "IBP", "crown_ibp": "CROWN-IBP", "crown": "CROWN"}


class WrittenOut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        deviation = x - x.mean(-1, keepdim=True)
        return deviation / torch.sqrt((deviation * deviation).mean(-1, keepdim=True) + 1e-5)


class Products(nn.Module):
    """f(x) of two linear layers, and a third one."""

    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(16, 6), nn.Linear(16, 6), nn.Linear(6, 3)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x.flatten(1))
        return self.last((3 * first).softmax(-1) if self.softmax else first * self.second(x.flatten(1)))


class Attention(nn.Module):
    """One head over 4 tokens of 4 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.last = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (head(x.flatten(1, 2)) for head in self.heads)
        weights = torch.softmax(torch.matmul(query, key.transpose(1, 2)) / 2, dim=-1)
        return self.last(torch.matmul(weights, value).mean(1))


def perceptron(norm: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), norm, nn.ReLU(), nn.Linear(12, 12), norm, nn.ReLU(), nn.Linear(12, 3)
    )


def main() -> None:
    torch.manual_seed(0)
    same = {"product": Products(softmax=False), "softmax": Products(softmax=True), "attention": Attention()}
    networks = {name: (network, network) for name, network in same.items()}
    networks["LayerNorm, twice"] = perceptron(nn.LayerNorm(12, elementwise_affine=False)), perceptron(WrittenOut())
    print("| network | eps | sampled | " + " | ".join(f"{name}, ours / theirs" for name in METHODS) + " |")
    print("|---" * (3 + len(METHODS)) + "|")
    for name, (ours, theirs) in networks.items():
        x = torch.rand(1, 1, 4, 4)
        for eps in (0.005, 0.03, 0.1):
            low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
            place = torch.rand(4000, 1, 4, 4)
            place[2000:] = place[2000:].round()
            with torch.no_grad():
                reached = ours(torch.lerp(low, high, place))
            widths = []
            for engine, method in METHODS.items():
                bounded = BoundedModule(theirs, x, bound_opts={"conv_mode": "matrix"})
                ball = BoundedTensor(x, PerturbationLpNorm(norm=math.inf, x_L=low, x_U=high))
                found = bound_engine(engine)(ours, x, eps), bounded.compute_bounds(x=(ball,), method=method)
                for lower, upper in found:
                    assert bool(((lower - 1e-5 <= reached) & (reached <= upper + 1e-5)).all()), (name, eps, engine)
                widths.append(" / ".join(f"{(upper - lower).mean().item():.3g}" for lower, upper in found))
            spread = (reached.amax(0) - reached.amin(0)).mean().item()
            print(f"| {name} | {eps} | {spread:.3g} | " + " | ".join(widths) + " |")


if __name__ == "__main__":
    main()
