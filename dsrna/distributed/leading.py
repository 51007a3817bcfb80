"""The leader's side: the other processes are started, watched, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from dsrna.distributed.launcher import launched_from_outside
from dsrna.distributed.meeting import DEVICE, FOLDER, PATIENCE, Stages, arrival, joined, met_by_environment
from dsrna.errors import ConfigError, DistributedError

_HOST = "127.0.0.1"
_GRACE_SECONDS = 20.0
_GONE = "Connection closed by peer"
"""Gloo's words for a process that is no more."""


@dataclass(frozen=True)
class _Worker:
    rank: int
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n") if self.log.exists() else []
        said = [line.strip() for line in lines if line.strip()]
        return said[-1].removeprefix("[error] ") if said else "it said nothing"


@contextmanager
def led(devices: int, device: str, folder: Path, module: str) -> Iterator[Stages]:
    """Inside, the processes that train together with this one are there; after, they have ended.

    Args:
        devices: how many processes there are to be on this machine, each with a GPU or a part of the CPU's cores. Where
            torchrun has started several, its count holds.
        device: ``"cuda"`` or ``"cpu"``.
        folder: the run folder; what the others say goes to ``processes/RANK.log`` in it.
        module: what ``python -m`` starts as a process that follows.

    Yields:
        The stages, by which the leader tells them what to do.

    Raises:
        ConfigError: the count isn't torchrun's, or there aren't so many GPUs.
        DistributedError: a process was lost, or couldn't go on. Checkpoints stay as they are.
    """
    outside = launched_from_outside(os.environ)
    if devices == 1 and not outside:
        yield Stages(None)
        return
    if outside and devices != 1:
        raise ConfigError(
            f"torchrun has started {os.environ['WORLD_SIZE']} processes, and {devices} devices are asked for: leave "
            "one of the two out. (conf: trainer.devices)"
        )
    if device == "cuda" and not outside and devices > torch.cuda.device_count():
        raise ConfigError(
            f"Expected at most {torch.cuda.device_count()} devices, as there are GPUs here, got {devices}. "
            "(conf: trainer.devices)"
        )
    with ExitStack() as stack:
        workers: list[_Worker] = []
        if outside:
            store, rank, size, local_rank = met_by_environment()
        else:
            rank, size, local_rank = 0, devices, 0
            store = dist.TCPStore(_HOST, 0, size, is_master=True, timeout=PATIENCE, wait_for_workers=False)
            workers = stack.enter_context(_started(store.port, size, folder / "processes", module))
        store.set(FOLDER, str(folder.absolute()))
        store.set(DEVICE, device)
        stages = Stages(store)
        try:
            _await(workers, store, size)
            with joined(store, rank, size, local_rank, device):
                yield stages
                stages.end()
            for worker in workers:  # not before this process has left too: they may leave together alone
                worker.process.wait()
        except (RuntimeError, dist.DistError) as error:  # torch's, of a connection that is gone
            if (lost := _lost(workers, wait=_GRACE_SECONDS / 2)) is not None:
                raise DistributedError(_message(lost, size)) from error
            if isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error):
                raise DistributedError(
                    f"One of the {size} processes was lost ({str(error).splitlines()[0][:160]}): its own output says "
                    "why. The last checkpoint is kept; go on with resume=auto."
                ) from error
            raise


@contextmanager
def _started(port: int, size: int, logs: Path, module: str) -> Iterator[list[_Worker]]:
    """The other processes; killed at the end, if they haven't ended by themselves."""
    logs.mkdir(parents=True, exist_ok=True)
    workers: list[_Worker] = []
    over = threading.Event()
    try:
        for rank in range(1, size):
            variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
            log = logs / f"{rank}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", module],
                    env={**os.environ, "MASTER_ADDR": _HOST, **{name: str(value) for name, value in variables.items()}},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is the leader's, which tells the others
                )
            workers.append(_Worker(rank, process, log))
        threading.Thread(target=_watch, args=(workers, over, size), daemon=True).start()
        yield workers
    finally:
        over.set()
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.process.kill()
            worker.process.wait()


def _watch(workers: list[_Worker], over: threading.Event, size: int) -> None:
    """Ends this process where another one is lost and this one waits for it: NCCL would wait for ever."""
    while not over.wait(0.5):
        if (lost := _lost(workers)) is not None:
            if not over.wait(_GRACE_SECONDS):
                sys.stderr.write(f"[error] {_message(lost, size)}\n")
                sys.stderr.flush()
                os._exit(2)
            return


def _await(workers: list[_Worker], store: dist.Store, size: int) -> None:
    """Until every process that was started has come as far as this one."""
    while not store.check([arrival(worker.rank) for worker in workers]):
        if (lost := _lost(workers)) is not None:
            raise DistributedError(_message(lost, size))
        time.sleep(0.05)


def _lost(workers: list[_Worker], wait: float = 0.0) -> _Worker | None:
    """A process that ended as it shouldn't have: the first, and not one of those that only lost it in their turn."""
    until = time.monotonic() + wait
    while True:
        ended = [worker for worker in workers if worker.process.poll()]
        if ended:
            return next((each for each in ended if _GONE not in each.last_words()), ended[0])
        if time.monotonic() >= until:
            return None
        time.sleep(0.05)


def _message(worker: _Worker, size: int) -> str:
    status = worker.process.returncode
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return (
        f"Process {worker.rank} of {size} {how}: {worker.last_words()} (all of it: {worker.log}) "
        "The last checkpoint is kept; go on with resume=auto."
    )
