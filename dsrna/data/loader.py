"""Loaders whose batches depend on (seed, purpose, epoch, batch) alone, so that a run can go on at any of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext

import torch
from torch import Tensor

from dsrna.data.augmentation import Augmentation
from dsrna.data.images import ImageDataset
from dsrna.distributed import group
from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.functional.seeding import generator

Batch = tuple[Tensor, Tensor]
"""x (N, C, H, W) float32 in [0, 1] and y (N,) int64, on the CPU."""


class BatchLoader:
    """Batches of a data set, epoch after epoch.

    The order comes from a generator seeded by (seed, purpose, epoch), the augmentation of batch b from one seeded by
    (seed, purpose, epoch, b). Iterating does not count epochs: whoever trains sets ``epoch``.

    Args:
        dataset: where the images come from.
        batch_size: images a batch; the last one may be smaller.
        seed: the run's seed.
        purpose: what the batches are for; loaders of different purposes draw independently.
        shuffle: whether each epoch has an order of its own.
        augmentation: applied to each batch; None: images as they are.
        drop_last: leave out a smaller last batch.
        prefetch: read one batch ahead in a background thread; None: only where images must be decoded.
        in_parts: give each process its part of every batch, where several train the network together.
        replays: how often each batch is given in a row. An epoch has the same number of batches as without: batch b of
            epoch e is number (e * len + b) // replays, counted over all epochs without replays.

    Attributes:
        epoch: which epoch the next iteration gives.
        start_batch: the batch at which the next iteration starts, once; later ones start at 0.

    Raises:
        ConfigError: ``batch_size`` is not positive.
        DataError: there is not a single batch.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int,
        *,
        seed: int,
        purpose: str,
        shuffle: bool,
        augmentation: Augmentation | None = None,
        drop_last: bool = False,
        prefetch: bool | None = None,
        in_parts: bool = False,
        replays: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"Expected at least 1 image a batch of `{purpose}`, got {batch_size}. (conf: batch_size)")
        fewest = batch_size if drop_last else 1
        if len(dataset) < fewest:
            raise DataError(
                f"Expected at least {fewest} images for one batch of `{purpose}`, got {len(dataset)}. "
                "Lower its batch_size, raise data.train_limit, or add images. (conf: batch_size)"
            )
        if in_parts and (batch_size % group.size() or not drop_last):
            raise ConfigError(
                f"Expected batches of `{purpose}` that {group.size()} processes can share evenly, got {batch_size} "
                "images. (conf: batch_size)"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.purpose = purpose
        self.shuffle = shuffle
        self.augmentation = augmentation
        self.drop_last = drop_last
        self.prefetch = dataset.decodes if prefetch is None else prefetch
        self.in_parts = in_parts
        self.replays = replays
        self.epoch = 0
        self.start_batch = 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        # Looked at when the first batch is asked for: who only tries whether there is an iterator uses up no start.
        start, self.start_batch = self.start_batch, 0
        yield from self.batches(self.epoch, start)

    def batches(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of ``epoch`` from number ``start`` on. Closing the iterator ends its thread."""
        if not 0 <= start <= len(self):
            raise CheckpointError(
                f"Expected to go on at one of batches 0..{len(self)} of `{self.purpose}`, got {start}: the run was "
                "started with other data or another batch size. Use the settings it was started with."
            )
        steps = range(epoch * len(self) + start, (epoch + 1) * len(self))
        places = [divmod(step // self.replays, len(self)) for step in steps]
        parts = {each: self._order(each).split(self.batch_size) for each in sorted({each for each, _ in places})}
        return self._read([(each, number, parts[each][number]) for each, number in places])

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.dataset))
        return torch.randperm(len(self.dataset), generator=generator(self.seed, self.purpose, epoch))

    def _read(self, wanted: list[tuple[int, int, Tensor]]) -> Generator[Batch, None, None]:
        if not self.prefetch:
            for place in wanted:
                yield self._batch(*place)
            return
        with ThreadPoolExecutor(1, thread_name_prefix=f"read {self.purpose}") as pool:
            ahead: Future[Batch] | None = None
            for place in wanted:
                current, ahead = ahead, pool.submit(self._batch, *place)
                if current is not None:
                    yield current.result()
            if ahead is not None:
                yield ahead.result()

    def _batch(self, epoch: int, number: int, indices: Tensor) -> Batch:
        if self.in_parts:
            indices = indices[group.part(len(indices))]
        x, y = self.dataset.batch(indices)
        if self.augmentation is not None:
            with group.in_parts() if self.in_parts else nullcontext():
                x = self.augmentation(x, generator(self.seed, self.purpose, epoch, number))
        return x, y


class PairedLoader:
    """One batch of each of two loaders at a time: ``((x, y), (x, y))``, for weight and architecture steps.

    Its length is the first's. The second goes through its own epochs, one after another, each in an order of its own:
    at batch b of the first's epoch e it gives its batch number e * len(first) + b, counted over all its epochs.

    Attributes:
        epoch: which epoch of the first loader the next iteration gives.
        start_batch: the batch at which the next iteration starts, once; later ones start at 0.
    """

    def __init__(self, first: BatchLoader, second: BatchLoader) -> None:
        self.first = first
        self.second = second
        self.epoch = 0
        self.start_batch = 0

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[tuple[Batch, Batch]]:
        start, self.start_batch = self.start_batch, 0  # when the first pair is asked for, as in BatchLoader
        yield from self._pairs(self.epoch, start)

    def _pairs(self, epoch: int, start: int) -> Generator[tuple[Batch, Batch], None, None]:
        position = epoch * len(self.first) + start
        with closing(self.first.batches(epoch, start)) as first, closing(self._endless(position)) as second:
            yield from zip(first, second, strict=False)  # the second never ends

    def _endless(self, position: int) -> Generator[Batch, None, None]:
        epoch, start = divmod(position, len(self.second))
        while True:
            with closing(self.second.batches(epoch, start)) as batches:
                yield from batches
            epoch, start = epoch + 1, 0
