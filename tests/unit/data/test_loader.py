import itertools
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsrna.data.augmentation import Augmentation
from dsrna.data.images import ArrayImages, FolderImages
from dsrna.data.loader import BatchLoader, PairedLoader
from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.functional.seeding import derive_seed, generator
from tests.thorough import examples


def images(count, first=0):
    """Images whose label is their own number, so that a test sees which ones a batch has."""
    pixels = torch.randint(1, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ArrayImages(pixels, torch.arange(first, first + count), first + count)


def loader(count=23, batch_size=5, **changes):
    settings = {"seed": 0, "purpose": "train", "shuffle": True, "augmentation": Augmentation(1, True)} | changes
    return BatchLoader(images(count), batch_size, **settings)


def equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(x, z) and torch.equal(y, w) for (x, y), (z, w) in zip(first, second, strict=True)
    )


def labels(batches):
    return [y.tolist() for _, y in batches]


@examples(60)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 12), shuffle=st.booleans(), epoch=st.integers(0, 5))
def test_every_image_once_an_epoch(count, batch_size, shuffle, epoch):
    batches = loader(count, batch_size, shuffle=shuffle)
    batches.epoch = epoch
    seen = labels(batches)
    assert len(seen) == len(batches) == -(-count // batch_size)
    assert all(len(batch) == batch_size for batch in seen[:-1])
    flat = list(itertools.chain(*seen))
    assert sorted(flat) == list(range(count))
    if not shuffle:
        assert flat == list(range(count))


def test_drop_last_leaves_out_the_smaller_batch():
    batches = loader(23, 5, drop_last=True)
    assert len(batches) == len(list(batches)) == 4
    assert {len(y) for _, y in batches} == {5}
    assert len(loader(20, 5, drop_last=True)) == len(loader(20, 5)) == 4


def test_epochs_seeds_and_purposes_draw_independently_and_repeat():
    def run(epoch=0, **changes):
        batches = loader(**changes)
        batches.epoch = epoch
        return list(batches)

    base = run()
    assert equal(base, run())
    for other in (run(epoch=1), run(seed=1), run(purpose="search")):
        assert labels(base) != labels(other)
    plain = BatchLoader(images(23), 5, seed=0, purpose="train", shuffle=True)
    assert labels(plain) == labels(base)  # augmentation has draws of its own
    assert not equal(list(plain), base)


def test_iterating_does_not_depend_on_what_was_iterated_before():
    used = loader()
    for _ in range(3):
        next(iter(used))
    assert equal(list(used), list(loader()))


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("start", range(6))
def test_resumed_at_a_batch_equals_the_tail(start, prefetch):
    whole = loader()
    whole.epoch = 3
    resumed = loader(prefetch=prefetch)
    resumed.epoch, resumed.start_batch = 3, start
    expected = list(whole)
    assert equal(list(resumed), expected[start:])
    assert equal(list(resumed), expected)  # the start is used once


@pytest.mark.parametrize(("replays", "count"), [(2, 23), (3, 23), (4, 8), (7, 3)])
def test_replays_are_the_same_batches_each_several_times_in_a_row(replays, count):
    plain, replayed = loader(count), loader(count, replays=replays)
    assert len(replayed) == len(plain)
    expected = [batch for epoch in range(4) for batch in plain.batches(epoch) for _ in range(replays)]
    found = [batch for epoch in range(4) for batch in replayed.batches(epoch)]
    assert equal(found, expected[: len(found)])
    last = list(replayed.batches(3, len(replayed) - 1))
    assert equal(last, found[-1:])


@pytest.mark.parametrize("start", [-1, 6])
def test_resuming_outside_the_epoch_is_refused(start):
    batches = loader()
    batches.start_batch = start
    with pytest.raises(CheckpointError, match=r"0\.\.5"):
        list(batches)
    pairs = PairedLoader(loader(), loader())
    pairs.start_batch = start
    with pytest.raises(CheckpointError, match=r"0\.\.5"):
        list(pairs)


@pytest.mark.parametrize(("count", "batch_size", "epochs"), [(23, 4, 3), (7, 4, 4), (3, 4, 5), (23, 100, 2)])
def test_pairs_are_the_first_loaders_epochs_beside_an_endless_second(count, batch_size, epochs):
    def make():
        second = loader(count, batch_size, purpose="architecture", augmentation=None)
        return PairedLoader(loader(), second), second

    # Textbook version: the second's epochs one after another, each restarted by hand.
    _, second = make()
    endless = []
    for epoch in range(epochs * 6):
        second.epoch = epoch
        endless += list(second)
    pairs, _ = make()
    position = 0
    for epoch in range(epochs):
        pairs.epoch = epoch
        got = list(pairs)
        reference = loader()
        reference.epoch = epoch
        assert len(got) == len(pairs) == 5
        assert equal([first for first, _ in got], list(reference))
        assert equal([other for _, other in got], endless[position : position + 5])
        position += 5
        resumed, _ = make()
        resumed.epoch, resumed.start_batch = epoch, 2
        again = list(resumed)
        assert equal([first for first, _ in again], [first for first, _ in got][2:])
        assert equal([other for _, other in again], [other for _, other in got][2:])


def folder(tmp_path, count=12):
    for number in range(count):
        Image.fromarray(np.full((6, 6, 3), 10 * number, np.uint8)).save(tmp_path / f"{number}.png")
    return FolderImages([str(tmp_path / f"{number}.png") for number in range(count)], torch.arange(count), count, 6)


def test_only_decoded_images_are_read_ahead_and_they_are_the_same(tmp_path):
    on_disk = folder(tmp_path)
    assert not loader().prefetch
    ahead = BatchLoader(on_disk.subset(torch.arange(12)), 5, seed=0, purpose="train", shuffle=True)
    assert ahead.prefetch
    plain = BatchLoader(on_disk, 5, seed=0, purpose="train", shuffle=True, prefetch=False)
    assert equal(list(ahead), list(plain))
    for x, y in ahead:
        torch.testing.assert_close((x * 255).amax((1, 2, 3)), 10.0 * y)


def test_closing_early_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    on_disk = folder(tmp_path)
    pairs = PairedLoader(
        BatchLoader(on_disk, 2, seed=0, purpose="a", shuffle=True),
        BatchLoader(on_disk, 2, seed=0, purpose="b", shuffle=True),
    )
    iterator = iter(pairs)
    next(iterator)
    assert set(threading.enumerate()) > before  # reading ahead
    iterator.close()
    assert set(threading.enumerate()) == before


def test_unreadable_image_stops_the_loader_with_its_name_and_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    on_disk = folder(tmp_path)
    (tmp_path / "7.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"7\.png"):
        list(BatchLoader(on_disk, 2, seed=0, purpose="train", shuffle=True))
    assert set(threading.enumerate()) == before


def test_bad_sizes_are_refused():
    with pytest.raises(ConfigError, match=r"batch of `train`, got 0"):
        loader(batch_size=0)
    with pytest.raises(DataError, match="at least 32 images for one batch of `train`, got 23"):
        loader(23, 32, drop_last=True)
    with pytest.raises(DataError, match="got 0"):
        loader(0)


def test_derived_seeds_are_stable_distinct_and_fit():
    assert derive_seed(0, "train", 1, 2) == 6226108428555381139  # must never change: old runs are resumed with it
    assert derive_seed(0, "train", np.int64(1), 2) == derive_seed(0, "train", 1, 2)
    seeds = [derive_seed(s, p, e) for s in range(20) for p in ("a", "b", "1") for e in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")
    assert derive_seed(0, 1) != derive_seed(0, "1")
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert generator(0, "a").initial_seed() == derive_seed(0, "a")
    with pytest.raises(TypeError):
        derive_seed(0, 1.5)


def test_trying_whether_there_is_an_iterator_uses_up_no_start():
    resumed = loader()
    resumed.start_batch = 2
    iter(resumed)  # as Lightning does before it iterates
    assert equal(list(resumed), list(loader())[2:])
    pairs = PairedLoader(loader(), loader())
    pairs.start_batch = 2
    iter(pairs)
    assert len(list(pairs)) == 3
