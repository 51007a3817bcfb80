import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from dsrna.data.digits import load_digits
from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.data.splits import search_halves, split, stratified
from dsrna.errors import ConfigError, DataError
from dsrna.functional.seeding import generator
from tests.thorough import examples


def numbered(labels, classes, first=0):
    """Images that carry their own number in two pixels, so that a test can tell which ones a split has."""
    number = torch.arange(first, first + len(labels))
    pixels = torch.stack([number // 256, number % 256], 1).to(torch.uint8).reshape(-1, 1, 1, 2)
    return ArrayImages(pixels, torch.as_tensor(labels), classes)


def numbers(images):
    x, y = images.batch(torch.arange(len(images)))
    assert torch.equal(y, images.labels)
    high, low = (x * 255).round().long().flatten(1).unbind(1)
    return (high * 256 + low).tolist()


def source(train_labels, test_labels, classes):
    return Source("s", "o", numbered(train_labels, classes), numbered(test_labels, classes, 30_000))


label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=80)


@examples(200)
@given(labels=label_lists, share=st.floats(0, 1), seed=st.integers(0, 5))
def test_stratified_is_a_partition_in_proportion(labels, share, seed):
    count = int(share * len(labels))
    chosen, rest = stratified(torch.tensor(labels), count, generator(seed))
    assert len(chosen) == count
    assert sorted(chosen.tolist() + rest.tolist()) == list(range(len(labels)))
    for label in set(labels):
        fair = labels.count(label) * count / len(labels)
        assert abs(sum(labels[i] == label for i in chosen.tolist()) - fair) < 1


@pytest.mark.slow
def test_stratified_draws_every_image_about_equally_often():
    labels = torch.tensor([0] * 6 + [1] * 4)
    hits = torch.zeros(10)
    for seed in range(2000):
        hits[stratified(labels, 5, generator(seed))[0]] += 1
    assert (hits / 2000 - 0.5).abs().max() < 0.05  # 4.5 standard deviations


@examples(50)
@given(
    sizes=st.lists(st.integers(8, 30), min_size=2, max_size=4), fraction=st.floats(0.3, 0.5), seed=st.integers(0, 99)
)
def test_split_is_disjoint_stratified_and_leaves_test_alone(sizes, fraction, seed):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    parts = split(source(labels, [0, 1, 1], len(sizes)), fraction, seed)
    assert sorted(numbers(parts.train) + numbers(parts.validation)) == list(range(len(labels)))
    assert numbers(parts.test) == [30_000, 30_001, 30_002]
    for label, size in enumerate(sizes):
        share = len(parts.validation) / len(labels)
        assert abs(int((parts.validation.labels == label).sum()) - size * share) < 1
    assume(all(int((parts.train.labels == label).sum()) >= 5 for label in range(len(sizes))))
    weights_half, architecture_half = search_halves(parts, seed)
    assert sorted(numbers(weights_half) + numbers(architecture_half)) == sorted(numbers(parts.train))
    for label in range(len(sizes)):
        in_halves = [int((half.labels == label).sum()) for half in (weights_half, architecture_half)]
        assert abs(in_halves[0] - in_halves[1]) <= 1 + 1  # each within one of its share


def test_seed_chooses_train_and_validation_but_never_the_limited_test_part():
    data = source(list(range(4)) * 50, list(range(4)) * 20, 4)
    first, again, other = (split(data, 0.2, seed, train_limit=100, test_limit=10) for seed in (0, 0, 1))
    assert numbers(first.train) == numbers(again.train)
    assert numbers(first.validation) == numbers(again.validation)
    assert set(numbers(first.validation)) != set(numbers(other.validation))
    assert numbers(first.test) == numbers(other.test)
    assert (len(first.train), len(first.validation), len(first.test)) == (80, 20, 10)
    halves = [set(numbers(search_halves(first, seed)[0])) for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]


def test_limits_larger_than_the_data_change_nothing():
    data = source(list(range(4)) * 10, list(range(4)) * 2, 4)
    assert numbers(split(data, 0.2, 0, 1000, 1000).train) == numbers(split(data, 0.2, 0).train)


def test_mean_and_std_are_those_of_the_training_pixels_alone():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1200, 3, 4, 5), dtype=np.uint8) // np.array([1, 2, 4], np.uint8)[:, None, None]
    train = ArrayImages(torch.from_numpy(pixels), torch.arange(1200) % 3, 3)
    parts = split(Source("s", "o", train, train), 0.3, seed=4)
    reference = parts.train.batch(torch.arange(len(parts.train)))[0].double().numpy()
    np.testing.assert_allclose(parts.mean, reference.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(parts.std, reference.std((0, 2, 3)), rtol=1e-9)


def test_constant_channel_gets_a_deviation_that_can_be_divided_by():
    images = ArrayImages(torch.full((20, 1, 2, 2), 255, dtype=torch.uint8), torch.arange(20) % 2, 2)
    parts = split(Source("s", "o", images, images), 0.3, 0)
    assert parts.mean == (1.0,)
    assert parts.std == (1 / 255,)


def test_published_statistics_are_taken_as_they_are():
    data = source(list(range(2)) * 10, [0, 1], 2)
    published = ((0.3,), (0.2,))
    parts = split(Source("s", "o", data.train, data.test, published), 0.3, 0)
    assert (parts.mean, parts.std) == published


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range(fraction):
    data = source(list(range(2)) * 10, [0, 1], 2)
    with pytest.raises(ConfigError, match=r"data\.validation_fraction"):
        split(data, fraction, 0)
    with pytest.raises(ConfigError, match="fraction"):
        search_halves(split(data, 0.3, 0), 0, fraction)


@pytest.mark.parametrize(("limits", "key"), [((0, None), "train_limit"), ((None, -1), "test_limit")])
def test_limit_out_of_range(limits, key):
    with pytest.raises(ConfigError, match=key):
        split(source(list(range(2)) * 10, [0, 1], 2), 0.3, 0, *limits)


def test_too_few_images_say_how_many():
    with pytest.raises(
        DataError, match=r"at least 2 images of each of 3 classes in the training split, got 0 of class 2"
    ):
        split(source([0, 1] * 20, [0], 3), 0.5, 0)
    with pytest.raises(DataError, match="validation split, got 1 of class 0"):
        split(source([0, 1] * 10, [0], 2), 0.1, 0)
    with pytest.raises(DataError, match="weight-step half, got 1 of class 0"):
        search_halves(split(source([0, 1] * 5, [0], 2), 0.4, 0), 0, 0.4)


@pytest.mark.slow
def test_digits_are_the_scans_with_a_fixed_test_part():
    from sklearn.datasets import load_digits as scans

    data = load_digits()
    assert (len(data.train), len(data.test), data.train.shape, data.train.classes) == (1437, 360, (1, 8, 8), 10)
    together = [part.batch(torch.arange(len(part))) for part in (data.train, data.test)]
    ours = sorted(
        (int(y), *(x * 255).round().int().flatten().tolist())
        for xs, ys in together
        for x, y in zip(xs, ys, strict=True)
    )
    images, targets = scans(return_X_y=True)
    theirs = sorted((int(y), *(round(v * 255 / 16) for v in x)) for x, y in zip(images.tolist(), targets, strict=True))
    assert ours == theirs
    counts, whole = data.test.labels.bincount(), torch.from_numpy(targets).bincount()
    assert (counts - whole * 360 / 1797).abs().max() < 1
    assert torch.equal(data.test.labels, load_digits().test.labels)
    assert "1,797" in data.origin
