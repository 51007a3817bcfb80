"""How the processes of a run meet: by a store of a few texts, then as torch's process group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from dsrna.distributed import group
from dsrna.distributed.group import Group

PATIENCE = timedelta(days=365)
"""How long a process waits for what the leader says next: while the leader evaluates, they have nothing to do."""
FOLDER = "dsrna/folder"
DEVICE = "dsrna/device"
_STAGE = "dsrna/stage"
_NO_MORE = "-"


def arrival(rank: int) -> str:
    """What a process writes down when it is ready to join."""
    return f"dsrna/arrival/{rank}"


def met_by_environment() -> tuple[dist.Store, int, int, int]:
    """The store, the rank, the size and the rank on this machine, from the variables that torchrun sets."""
    store, rank, size = next(iter(dist.rendezvous("env://", timeout=PATIENCE)))
    return store, rank, size, int(os.environ.get("LOCAL_RANK", rank))


@contextmanager
def joined(store: dist.Store, rank: int, size: int, local_rank: int, device: str) -> Iterator[None]:
    """Inside, this process is one of a group; all of them must come here.

    Args:
        store: where they meet.
        rank: this process's number.
        size: of how many.
        local_rank: its number on its machine.
        device: ``"cuda"`` or ``"cpu"``, on which they compute: NCCL or gloo.
    """
    backend = "nccl" if device == "cuda" else "gloo"
    if device == "cuda":
        torch.cuda.set_device(local_rank)
    dist.init_process_group(backend, store=dist.PrefixStore("dsrna/group", store), rank=rank, world_size=size)
    try:
        control = None if backend == "gloo" else dist.new_group(backend="gloo")
        assert not isinstance(control, int)  # every process is a member
        group.enter(Group(rank, size, local_rank, control))
        yield
    finally:
        group.leave()
        dist.destroy_process_group()


class Stages:
    """The stages that all processes take part in, as the leader announces and the others hear them, in the same order.

    Args:
        store: where they are written down; None: there is nobody else.
    """

    def __init__(self, store: dist.Store | None) -> None:
        self._store, self._count = store, 0

    def announce(self, name: str) -> None:
        """Begins a stage; back when every process has read what it needs of the run folder."""
        self._say(name)
        self.ready()

    def end(self) -> None:
        """There will be no more."""
        self._say(_NO_MORE)

    def _say(self, text: str) -> None:
        if self._store is not None:
            self._store.set(f"{_STAGE}/{self._count}", text)
            self._count += 1

    def ready(self) -> None:
        """Waits until every process is."""
        group.gathered(True)

    def heard(self) -> Iterator[str]:
        """Each stage that the leader announces, until it ends."""
        assert self._store is not None
        for count in range(2**31):
            name = self._store.get(f"{_STAGE}/{count}").decode()
            if name == _NO_MORE:
                return
            yield name
