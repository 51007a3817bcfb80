"""Networks that copy, broadcast, permute, alias, slice, pad and reuse values, for the bounds' conformance suite."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOVING_SHAPE = (2, 3, 4)
"""(C, H, W) of the images that these networks take."""

Step = Callable[[Tensor], Tensor]


def _changed(x: Tensor, *, view: bool, read_view: bool) -> Tensor:
    """A change in place of a value or of a view of it, read through one of them."""
    value = 1.0 * x
    flat = value.flatten(1)
    if view:
        flat *= -2.0
    else:
        value *= -2.0
    return flat.unflatten(1, x.shape[1:]) if read_view else value


def _aliased(x: Tensor) -> Tensor:
    value = 1.0 * x
    alias = value
    alias += 0.5
    alias /= 2.0
    return value - alias + value


def _rectified_in_place(x: Tensor) -> Tensor:
    value = x - 0.5
    positive = F.relu(value)
    F.relu(value, inplace=True)
    return positive + 2.0 * value


FOLLOWED: dict[str, Step] = {
    "channels chosen twice": lambda x: x[:, [0, 0, 1]],
    "columns chosen twice": lambda x: x[:, :, :, [0, 0, 3]],
    "broadcast sum": lambda x: x[:, :1] - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1),
    "broadcast product": lambda x: x[:, 1:] * torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "repeat": lambda x: x.repeat(1, 2, 1, 2),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=2),
    "concatenation of one value": lambda x: torch.cat([x, x], dim=1),
    "concatenation with a part": lambda x: torch.cat([x, -2.0 * x[:, :1]], dim=1),
    "sum with itself": lambda x: x + x,
    "difference of a value and its mirror image": lambda x: x - x.flip(3),
    "copies that cancel": lambda x: x[:, [0, 0]] * torch.tensor([1.0, -1.0]).view(2, 1, 1),
    "copies of copies": lambda x: x[:, [0, 0, 1]].repeat(1, 1, 2, 1)[:, 1:],
    "permute": lambda x: x.permute(0, 3, 1, 2),
    "transpose": lambda x: x.transpose(2, 3),
    "reshape": lambda x: x.reshape(x.shape[0], -1, 2, 2),
    "unsqueeze and squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "roll": lambda x: x.roll(1, dims=3),
    "slice": lambda x: x[:, :, 1:, ::2],
    "padding": lambda x: F.pad(x, (1, 0, 2, -1)),
    "change through an alias": _aliased,
    "view changed in place": lambda x: _changed(x, view=True, read_view=True),
    "value with a view changed in place": lambda x: _changed(x, view=False, read_view=False),
    "ReLU in place": _rectified_in_place,
}
"""What our own engines follow: (N, C, H, W) -> (N, C', H', W')."""

REFUSED: dict[str, Step] = {
    "view changed in place, value read": lambda x: _changed(x, view=True, read_view=False),
    "value changed in place, view read": lambda x: _changed(x, view=False, read_view=True),
    "images rolled": lambda x: x + x.roll(1, dims=0),
    "images flipped": lambda x: x + x.flip(0),
    "first image for all": lambda x: x - x[[0] * x.shape[0]],
    "images and channels exchanged": lambda x: x.transpose(0, 1).reshape(x.shape),
    "mean over the images": lambda x: x - x.mean(dim=(0, 2), keepdim=True),
    "sum over the images by broadcasting": lambda x: (x + x.unsqueeze(1)).flatten(1, 2),
    "one entry for all": lambda x: x if x.sum() > 0 else -x,
    "comparison": lambda x: x * (x > 0.5),
    "assignment": lambda x: _assigned(x),
    "cube": lambda x: x**3,
}
"""What no bound can follow."""


def _assigned(x: Tensor) -> Tensor:
    value = 1.0 * x
    value[:, 0] = 0.0
    return value


class MovingNetwork(nn.Module):
    """Layers around steps that move values, in float64.

    Args:
        steps: (N, C, H, W) -> (N, C', H', W'), one after another.
        on_image: whether the steps see the image itself; else the output of a first convolution and ReLU.
        classes: K.
        seed: of the weights.
    """

    def __init__(self, steps: list[Step], *, on_image: bool, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        self.steps, self.on_image = steps, on_image
        channels, height, width = MOVING_SHAPE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(channels, channels, 3, padding=1)
            moved = self._steps(torch.zeros(1, channels, height, width))
            self.second = nn.Conv2d(moved.shape[1], 3, 2, padding=1)
            self.last = nn.Linear(self.second(moved).numel(), classes)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, 2, 3, 4) to logits (N, K)."""
        state = x if self.on_image else F.relu(self.first(x))
        return self.last(F.relu(self.second(self._steps(state))).flatten(1))

    def _steps(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


def random_moving_network(seed: int) -> MovingNetwork:
    """A network of up to six steps, drawn from those above and from ones with random settings."""
    draw = random.Random(seed)
    steps: list[Step] = []
    state = torch.rand(2, *MOVING_SHAPE)
    for _ in range(draw.randint(2, 6)):
        step = _random_step(draw, tuple(state.shape[1:]))
        moved = step(state)
        if 2 <= moved[0].numel() <= 100:
            steps.append(step)
            state = moved
    return MovingNetwork(steps, on_image=draw.random() < 0.6, seed=seed)


def _random_step(draw: random.Random, shape: tuple[int, ...]) -> Step:
    """A step that can be taken from values (N, *shape)."""
    channels = shape[0]
    axis = draw.randint(1, 3)
    chosen = [draw.randrange(shape[axis - 1]) for _ in range(draw.randint(1, 4))]
    order = [0, *draw.sample([1, 2, 3], 3)]
    factors = torch.tensor([draw.uniform(-2, 2) for _ in range(channels if channels > 1 else 3)]).view(-1, 1, 1)
    pads = [draw.randint(0, 1) for _ in range(4)]
    cut = (slice(None), *(slice(draw.randint(0, min(1, size - 1)), None, draw.randint(1, 2)) for size in shape))

    def chooses(x: Tensor) -> Tensor:
        return x[(slice(None),) * axis + (chosen,)]

    def narrows_and_expands(x: Tensor) -> Tensor:
        return x[:, :1].expand(-1, len(chosen), -1, -1)

    def adds_another(x: Tensor) -> Tensor:
        return x + x.roll(1, dims=axis) - 0.5 * x[:, :1]

    def changes_in_place(x: Tensor) -> Tensor:
        value = 1.0 * x
        alias = value.permute(order) if pads[0] else value
        alias += 0.3
        alias *= -1.5
        return alias if pads[1] else value

    simple: list[Step] = [
        chooses,
        chooses,
        narrows_and_expands,
        adds_another,
        changes_in_place,
        lambda x: x.permute(order),
        lambda x: x.flip(axis),
        lambda x: F.pad(x, pads),
        lambda x: x[cut],
        lambda x: torch.cat([x, x.flip(axis)], dim=axis),
        lambda x: x * factors,
        lambda x: x - factors,
        lambda x: F.relu(x - 0.4),
        lambda x: F.avg_pool2d(x, 2, 1, 1),
        lambda x: F.max_pool2d(x, 2, 1, 1),
        lambda x: x.repeat(1, *(2 if place == axis else 1 for place in (1, 2, 3))),
        lambda x: x.reshape(x.shape[0], -1, *x.shape[3:], 1),
    ]
    return draw.choice(simple)
