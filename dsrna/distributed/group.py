"""The processes of a run, and what they tell one another.

One process, the leader (rank 0), is the run: it has the run folder, the terminal and the dashboards. The others follow
it through the stages that train, and write nothing that stays. Outside of what they do together (``in_parts`` and
``in_turns``) the leader works alone, and gradients, random numbers and BatchNorm are a single process's. Without a
group every function here does what one process alone does, at no cost, so that callers need no second way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: this process's number; 0 is the leader's.
        size: how many there are.
        local_rank: this process's number on its machine, and that of its GPU.
        control: a group that talks by way of the CPU, for what isn't on the device; None: the default one does.
    """

    rank: int
    size: int
    local_rank: int
    control: dist.ProcessGroup | None


_ALONE = Group(0, 1, 0, None)
_current = _ALONE  # as torch's default group, of which there is one a process, too
_in_turns: ContextVar[bool] = ContextVar("in_turns", default=False)
_in_part: ContextVar[bool] = ContextVar("in_part", default=False)  # a loader's thread has its own


def enter(group: Group) -> None:
    """Makes this process one of a group, whose default process group torch has."""
    global _current
    _current = group


def leave() -> None:
    """Makes it a process alone again."""
    enter(_ALONE)


def rank() -> int:
    """This process's number; 0 without a group."""
    return _current.rank


def size() -> int:
    """How many processes there are; 1 without a group."""
    return _current.size


def local_rank() -> int:
    """This process's number on its machine; 0 without a group."""
    return _current.local_rank


def leads() -> bool:
    """Whether this process is the run, and not one that follows."""
    return _current.rank == 0


def in_parts() -> AbstractContextManager[None]:
    """Inside, the images that are seen are this process's part of a batch, as long as every other process's."""
    return _among_all(_in_part)


def in_turns() -> AbstractContextManager[None]:
    """Inside, independent batches are done in turns: each process does every n-th, and all know every result."""
    return _among_all(_in_turns)


@contextmanager
def _among_all(flag: ContextVar[bool]) -> Iterator[None]:
    token = flag.set(_current.size > 1)
    try:
        yield
    finally:
        flag.reset(token)


def done_in_turns(tasks: Sequence[T], do: Callable[[T], R]) -> Iterator[R]:
    """The results of tasks, in their order; in turns, each process does some, and gets those of the others.

    Args:
        tasks: the same for every process.
        do: does one; what it returns can be sent to other processes.
    """
    if not _in_turns.get():
        yield from map(do, tasks)
        return
    for first in range(0, len(tasks), _current.size):
        place = first + _current.rank
        own = [do(tasks[place])] if place < len(tasks) else []
        for results in gathered(own):
            yield from results


def dividing() -> bool:
    """Whether this is inside :func:`in_parts`, and there is more than one process."""
    return _in_part.get()


def part(whole: int) -> slice:
    """Which of a batch's images are this process's, where every process has as many.

    Raises:
        ValueError: they can't be divided so.
    """
    if whole % _current.size:
        raise ValueError(f"{whole} images can't be divided evenly among {_current.size} processes")
    each = whole // _current.size
    return slice(_current.rank * each, (_current.rank + 1) * each)


def per_image(draw: Callable[[Sequence[int]], Tensor], shape: Sequence[int], images: int = 0) -> Tensor:
    """Random numbers, of which each image of a batch has the same whatever the number of processes.

    In parts, they are drawn for the whole batch by every process, whose generators are in the same state, and each
    keeps those of its own images.

    Args:
        draw: shape -> random numbers.
        shape: what is wanted, for this process's images.
        images: the dimension that counts the images.

    Returns:
        A tensor of ``shape``.
    """
    if not dividing():
        return draw(tuple(shape))
    count, whole = shape[images], list(shape)
    whole[images] = count * _current.size
    return draw(tuple(whole)).narrow(images, _current.rank * count, count)


def averaged(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """In parts, the means over all processes, the same to the last bit in each of them; None stays None.

    Each process must call this at the same place with tensors of the same shapes.
    """
    if not dividing():
        return list(tensors)
    found: list[Tensor | None] = list(tensors)
    kinds: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for place, tensor in enumerate(tensors):
        if tensor is not None:
            kinds.setdefault((tensor.device, tensor.dtype), []).append(place)
    for places in kinds.values():
        own = [tensor.detach() for place in places if (tensor := tensors[place]) is not None]
        flat = torch.cat([tensor.reshape(-1) for tensor in own])
        dist.all_reduce(flat)
        flat /= _current.size
        for place, mean in zip(places, flat.split([tensor.numel() for tensor in own]), strict=True):
            like = tensors[place]
            assert like is not None
            found[place] = mean.view(like.shape)
    return found


def averaged_all(tensors: Sequence[Tensor]) -> list[Tensor]:
    """As :func:`averaged`, of tensors none of which is None."""
    return [tensor for tensor in averaged(tensors) if tensor is not None]


def average_(tensors: Sequence[Tensor]) -> None:
    """In parts, replaces tensors by their means over all processes, in place."""
    if dividing():
        for tensor, mean in zip(tensors, averaged(tensors), strict=True):
            assert mean is not None
            tensor.detach().copy_(mean)


def mean_of(number: float) -> float:
    """A number's mean over all processes."""
    return number if _current.size == 1 else sum(gathered(number)) / _current.size


def means_of(numbers: Mapping[str, float]) -> dict[str, float]:
    """The same of several numbers, by name."""
    every = gathered(dict(numbers))
    return {name: sum(each[name] for each in every) / len(every) for name in numbers}


def gathered(value: T) -> list[T]:
    """What each process has, by rank."""
    if _current.size == 1:
        return [value]
    found: list[Any] = [None] * _current.size
    dist.all_gather_object(found, value, group=_current.control)
    return found


def from_leader(value: T) -> T:
    """What the leader has."""
    if _current.size == 1:
        return value
    holder: list[Any] = [value if leads() else None]
    dist.broadcast_object_list(holder, src=0, group=_current.control)
    found: T = holder[0]
    return found


def code_of_leader(code: int) -> int:
    """A small number that the leader has: as :func:`from_leader`, at less cost."""
    if _current.size == 1:
        return code
    message = torch.tensor([code], dtype=torch.int64)
    dist.broadcast(message, src=0, group=_current.control)
    return int(message)
