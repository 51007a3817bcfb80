"""Scoring architectures in parallel processes, in an order that doesn't depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from dsrna.errors import DsrnaError
from dsrna.evaluation.identity import batch_checksum
from dsrna.functional.seeding import derive_seed, generator
from dsrna.interruption import SIGNALS
from dsrna.ranking.settings import ProxySettings, build_proxies
from dsrna.runs.first_line import data_and_threat
from dsrna.runs.request import Request
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.search_space import SearchSpace

Scores = dict[str, float]


def first_line(request: Request[Any]) -> str:
    """How the log of a ranking or of searches by queries begins, which train nothing."""
    settings: ProxySettings = request.settings
    threat = settings.threat.value
    sizes = f"{settings.cells} cells, {settings.channels} channels, untrained"
    about = data_and_threat(request, threat)
    return f"{about} of proxies that attack, recipe: {sizes}; tables of {settings.benchmark.dataset}"


@dataclass(frozen=True)
class Scorer:
    """Scores one architecture at a time; a plain value that can be sent to another process.

    Attributes:
        proxies: name -> config node.
        x, y: the batch that every network is scored with.
        classes: K.
        mean, std: of the networks' normalisation layer.
        cells, channels: sizes of the networks.
        repeats: how many initial weights an architecture's scores are averaged over.
        seed: of weights and of the proxies' own draws.
        space: of the networks.
    """

    proxies: dict[str, Any]
    x: Tensor
    y: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cells: int
    channels: int
    repeats: int
    seed: int
    space: SearchSpace = field(default_factory=Nasbench201Space)

    @property
    def data(self) -> str:
        """Digest of the images that networks are scored with."""
        return batch_checksum(self.x, self.y)

    def scores(self, index: int) -> Scores:
        """:meth:`scores_of` an architecture of NAS-Bench-201 by its published index."""
        return self.scores_of(Nasbench201Space().genotype(index), index)

    def scores_of(self, genotype: Genotype, key: int | str) -> Scores:
        """Proxy -> mean score of an architecture over the repeats.

        The same in every process, whatever was scored before.

        Args:
            genotype: one of the space.
            key: the architecture's own, on which initial weights and the proxies' draws depend.

        Raises:
            DsrnaError: a proxy can't score the network; the message names architecture and proxy.
        """
        proxies = build_proxies(self.proxies)
        totals = dict.fromkeys(proxies, 0.0)
        for repeat in range(self.repeats):
            network = self._network(genotype, key, repeat)
            for name, proxy in proxies.items():
                draw = generator(self.seed, "proxy", name, key, repeat)
                try:
                    totals[name] += proxy(network, self.x, self.y, draw)
                except DsrnaError as error:
                    called = f"{key}, {string_at(key)}" if isinstance(key, int) else key
                    raise type(error)(f"Architecture {called}, proxy {name}: {error} (conf: proxy.{name})") from error
        return {name: total / self.repeats for name, total in totals.items()}

    def _network(self, genotype: Genotype, key: int | str, repeat: int) -> torch.nn.Module:
        channels, height, width = self.x.shape[1:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "initial weights", key, repeat))
            return self.space.network(
                genotype, (channels, height, width), self.classes, cells=self.cells,
                channels=self.channels, mean=self.mean, std=self.std,
            )  # fmt: skip


def score_all(scorer: Scorer, indices: Sequence[int], workers: int) -> Iterator[Scores]:
    """Scores of every architecture, in the order of ``indices``, as soon as they are known.

    Args:
        scorer: what to do.
        indices: published indices.
        workers: processes; 1 stays in this one.

    Raises:
        DsrnaError: a proxy can't score a network, or a process died.
    """
    if workers == 1:
        yield from _one_after_the_other(scorer, indices)
        return
    context = multiprocessing.get_context("spawn")  # a forked process could hang on a lock of torch's threads
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(scorer,))
    try:
        yield from _in_order(pool, indices, ahead=2 * workers)
    except BrokenProcessPool as error:
        raise DsrnaError(
            "A process that scored architectures died, probably for want of memory. Go on with resume=auto and fewer "
            "`workers` or `images`. (conf: workers)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # architectures under way end first, in a few seconds


def _one_after_the_other(scorer: Scorer, indices: Sequence[int]) -> Iterator[Scores]:
    for index in indices:
        with one_thread():
            scores = scorer.scores(index)
        yield scores


@contextmanager
def one_thread() -> Iterator[None]:
    """Scores in the block as in the processes: the number of threads can change the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_order(pool: ProcessPoolExecutor, indices: Sequence[int], ahead: int) -> Iterator[Scores]:
    waiting = iter(indices)
    under_way: deque[Future[Scores]] = deque(pool.submit(_score, index) for index in islice(waiting, ahead))
    while under_way:
        yield under_way.popleft().result()
        under_way.extend(pool.submit(_score, index) for index in islice(waiting, 1))


_scorer: Scorer


def _begin(scorer: Scorer) -> None:
    """Prepares a process: one thread, and signals are the parent's to handle; without a parent it ends."""
    global _scorer
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _scorer = scorer


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _score(index: int) -> Scores:
    return _scorer.scores(index)
