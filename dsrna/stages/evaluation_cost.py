"""What an evaluation will cost, told before it starts: measured on a batch, counted for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor, nn

from dsrna.clock import working_seconds
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.nn.modes import evaluation_mode
from dsrna.progress import duration
from dsrna.stages.evaluation_passes import counted_measurements

_ENOUGH_SECONDS = 3.0
_MEASURED = 32
"""Images of the batch that is measured on a CPU, where an image's cost hardly depends on the batch."""


@dataclass(frozen=True)
class CountedPasses:
    """How often attacks go through a network that withstands them.

    Attributes:
        passes: label of an attack -> forward and backward passes of one image each, in all its measurements.
        unknown: labels of attacks that the network by which passes are counted is too simple for.
    """

    passes: dict[str, tuple[float, float]]
    unknown: list[str]


def counted_passes(settings: Settings, splits: Splits) -> CountedPasses:
    """Of the attacks, and of the curve; clean accuracy, checks, corruptions and verification aren't counted."""
    found, unknown = counted_measurements(settings, splits)
    passes: dict[str, tuple[float, float]] = {}
    for one in found:
        before = passes.get(one.label, (0.0, 0.0))
        passes[one.label] = (
            before[0] + one.images * one.passes.forwards,
            before[1] + one.images * one.passes.backwards,
        )
    return CountedPasses(passes, unknown)


def cost_line(network: nn.Module, counted: CountedPasses, splits: Splits, batch_size: int, device: torch.device) -> str:
    """The time that attacks will take at most, and which of them takes most of it; a batch is measured.

    At most: as if every image withstood every attack, as images that are broken cost less. On tiny networks the
    libraries' own arithmetic, which isn't counted, takes longer.
    """
    count = batch_size if device.type == "cuda" else min(batch_size, _MEASURED)
    x, _ = splits.test.batch(torch.arange(min(count, len(splits.test))))
    forward, backward = pass_seconds(network.to(device), x.to(device))
    seconds = {label: forth * forward + back * backward for label, (forth, back) in counted.passes.items()}
    without = f", without {', '.join(counted.unknown)}, whose cost can't be told" if counted.unknown else ""
    if not seconds:
        return f"no attacks whose cost can be told{without}"
    longest = max(seconds, key=lambda label: seconds[label])
    total, most = duration(sum(seconds.values())), duration(seconds[longest])
    return (
        f"attacks' passes through the network take at most about {total}, {longest} {most} of it (as if every image "
        f"withstood every attack){without}"
    )


def pass_seconds(network: nn.Module, x: Tensor) -> tuple[float, float]:
    """Of a forward pass, and what a backward pass to the images adds; for one of these images."""
    x = x.detach().clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            network(x)

    with evaluation_mode(network):
        alone = seconds_of(forward, x.device) / len(x)
        both = seconds_of(lambda: torch.autograd.grad(network(x).sum(), x, allow_unused=True), x.device) / len(x)
    return alone, max(both - alone, 0.0)


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """Of one call in the mean, after a first one that warms up, unless that took long enough by itself.

    Not the fastest one: what is estimated is long, and meets whatever else the machine does.
    """
    taken: list[float] = []
    while len(taken) < 4 and sum(taken) < _ENOUGH_SECONDS:
        began = working_seconds(device)
        action()
        taken.append(working_seconds(device) - began)
    return mean(taken[1:] or taken)
