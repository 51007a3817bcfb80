"""What the suite of training losses sees of them, and the tiny setting that it tries them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Norm

Outputs = tuple[Tensor, Tensor | None]


class Result(Protocol):
    """The part of a result that the suite uses."""

    @property
    def loss(self) -> Tensor: ...
    @property
    def logits(self) -> Tensor: ...
    @property
    def inputs(self) -> Tensor: ...
    @property
    def numbers(self) -> Mapping[str, float | Tensor]: ...
    @property
    def carried(self) -> Any: ...


class Objective(Protocol):
    """The part of an objective's contract that the suite uses."""

    label_smoothing: float
    auxiliary_weight: float
    replays: int
    carries: ClassVar[bool]

    @property
    def title(self) -> str: ...
    def initialise(self, model: nn.Module) -> None: ...
    def advance(self, progress: float) -> None: ...
    def certified(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | None: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator | None = None,
        loss_forward: Callable[[Tensor], Outputs] | None = None,
    ) -> Any: ...


def setting(*, dropout: bool = True) -> tuple[nn.Sequential, Tensor, Tensor]:
    """In training mode and double precision, with two nonlinear layers; one image is misclassified from the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)  # weights that give every class to some image, and that attacks of the suite fool
        last = nn.Linear(4 * 6 * 6, 12), nn.ReLU(), nn.Linear(12, 3)
    model = nn.Sequential(*tiny_classifier()[:-1], *last).double()
    if not dropout:
        model[3] = nn.Identity()
    with torch.no_grad():
        for parameter in model[1].parameters():
            parameter.add_(0.3)
    x = torch.rand(6, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        y = model.eval()(x).argmax(1)
    y[-1] = (y[-1] + 1) % 3
    return model.train(), x, y


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def lengths(differences: Tensor, norm: Norm) -> Tensor:
    return differences.flatten(1).norm(p=float("inf") if norm == "linf" else 2, dim=1)
