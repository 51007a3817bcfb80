"""The mean corruption error against the released formula in numpy, and ImageNet-C's layout."""

import numpy as np
import pytest
import torch
from PIL import Image

from dsrna.corruptions import CORRUPTIONS
from dsrna.errors import ConfigError, DataError
from dsrna.evaluation.corruption_error import ALEXNET, mean_corruption_error
from dsrna.evaluation.corruption_sweep import CorruptionSweep
from dsrna.evaluation.published_images import open_published

RELEASED = {
    "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
    "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
    "impulse_noise": (0.78374, 0.89808, 0.9487, 0.9872, 0.99548),
    "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
    "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
}
"""AlexNet's errors at each severity, from another collection than the means."""


def records(accuracies):
    return [
        {"corruption": name, "severity": place + 1, "accuracy": float(value)}
        for name, row in zip(CORRUPTIONS, accuracies, strict=True)
        for place, value in enumerate(row)
    ]


def test_it_is_the_mean_of_quotients_of_sums():
    accuracies = np.random.default_rng(0).random((15, 5))
    found = mean_corruption_error(records(accuracies), "alexnet")
    sums = (1 - accuracies).sum(1)
    divisors = 5 * np.array([ALEXNET[name] for name in CORRUPTIONS])
    assert found["value"] == pytest.approx(np.mean(sums / divisors), rel=1e-12)
    assert found["value"] != pytest.approx(sums.sum() / divisors.sum(), rel=1e-3)  # not the quotient of the means
    assert mean_corruption_error(records(accuracies), None)["value"] == pytest.approx(1 - accuracies.mean())


def test_alexnet_itself_has_the_error_one():
    rows = [[1 - ALEXNET[name]] * 5 for name in CORRUPTIONS]
    assert mean_corruption_error(records(rows), "alexnet")["value"] == pytest.approx(1)


@pytest.mark.parametrize("name", RELEASED)
def test_alexnets_errors_are_means_over_severities(name):
    assert ALEXNET[name] == pytest.approx(np.mean(RELEASED[name]), abs=1e-6)


def test_with_a_corruption_or_a_severity_less_there_is_none():
    every = records(np.zeros((15, 5)))
    assert mean_corruption_error(every[:-1], None) is None
    extra = [{"corruption": "saturate", "severity": 1, "accuracy": 0.0}]
    assert mean_corruption_error([*every, *extra], None)["value"] == 1


def test_alexnet_divides_errors_on_published_imagenet_images_alone():
    with pytest.raises(ConfigError, match=r"published.*conf: normaliser"):
        CorruptionSweep(normaliser="alexnet")
    with pytest.raises(ConfigError, match="10"):
        CorruptionSweep(normaliser="alexnet", published="there").normalised_by(10)
    published = CorruptionSweep(published="there")
    assert [published.normalised_by(classes) for classes in (10, 1000)] == [None, "alexnet"]
    assert CorruptionSweep().normalised_by(1000) is None  # generated at CIFAR-10-C's severities
    assert CorruptionSweep(published="there", normaliser=None).normalised_by(1000) is None


@pytest.fixture(params=["", "noise"])
def imagenet_c(tmp_path, request):
    """Two classes of two images, whose grey is 10 x the class, 5 x the severity, and the name's length."""
    for name in ("gaussian_noise", "fog"):
        for severity in range(1, 6):
            for label in range(2):
                folder = tmp_path / request.param / name / str(severity) / f"n0{label}"
                folder.mkdir(parents=True)
                for image in range(2):
                    grey = np.full((24, 20, 3), 10 * label + 5 * severity + len(name), dtype=np.uint8)
                    Image.fromarray(grey).save(folder / f"{image}.png")
    return tmp_path


def test_imagenet_c_is_read_as_it_is_unpacked(imagenet_c):
    found = open_published(imagenet_c, 16)
    assert (len(found), found.classes) == (4, 2)
    x, y = found.batch("fog", 3, torch.tensor([0, 3]))
    assert y.tolist() == [0, 1]
    assert x.shape == (2, 3, 16, 16)
    assert (x * 255).round()[:, 0, 0, 0].tolist() == [18, 28]
    found.check_there(["fog", "gaussian_noise"])
    with pytest.raises(DataError, match="snow"):
        found.check_there(["snow"])


def test_other_labels_under_another_corruption_are_refused(imagenet_c):
    (place,) = [one for one in imagenet_c.rglob("2/n01/1.png") if "fog" in one.parts]
    place.unlink()
    with pytest.raises(DataError, match="fog at severity 2"):
        open_published(imagenet_c, 16).batch("fog", 2, torch.tensor([0]))
