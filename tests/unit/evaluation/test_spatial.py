"""The worst of a grid of rotations and shifts, against a grid of our own by scipy."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import nn

from dsrna.errors import ConfigError, DataError
from dsrna.evaluation.spatial import SpatialGrid, spatial_accuracy

SIDE = 9
GRID = SpatialGrid(rotation=40.0, translation=0.2, rotations=3, translations=3)


def moved(image, angle, right, down):
    """The image, read at points that are turned around its centre and shifted by whole or broken pixels."""
    centre = (SIDE - 1) / 2
    rows, columns = np.mgrid[:SIDE, :SIDE] - centre
    turned_columns = math.cos(angle) * columns - math.sin(angle) * rows + right + centre
    turned_rows = math.sin(angle) * columns + math.cos(angle) * rows + down + centre
    read = [map_coordinates(channel, [turned_rows, turned_columns], order=1, mode="grid-constant") for channel in image]
    return np.stack(read)


def all_places(image):
    angles, shifts = np.linspace(-math.radians(40), math.radians(40), 3), np.linspace(-0.2 * SIDE, 0.2 * SIDE, 3)
    return np.stack([moved(image, *place) for place in itertools.product(angles, shifts, shifts)])


@pytest.fixture(scope="module")
def setting():
    """Smooth images that a linear network gets right in part, and all the places of each."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(24, 2, 4, 4, generator=draw)
    x = nn.functional.interpolate(coarse, SIDE, mode="bilinear").clamp(0, 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIDE * SIDE, 3)).double()
    model[1].weight.data = torch.randn(3, 2 * SIDE * SIDE, generator=draw).double()
    x = x.double()
    y = model(x).argmax(1)
    y[:3] = (y[:3] + 1) % 3
    places = torch.stack([torch.from_numpy(all_places(image.numpy())) for image in x])
    return model, x, y, places


def test_it_finds_what_a_grid_of_our_own_finds(setting):
    model, x, y, places = setting
    right = model(places.flatten(0, 1)).argmax(1).view(len(x), -1) == y[:, None]
    stands = right.all(dim=1) & (model(x).argmax(1) == y)
    assert 3 <= int(stands.sum()) <= 18
    found = GRID.search(model.float(), x.float(), y)
    assert torch.equal(model(found).argmax(1) == y, stands)
    model.double()


def test_what_it_finds_is_one_of_the_places(setting):
    model, x, y, places = setting
    found = GRID.search(model.float(), x.float(), y).double()
    model.double()
    changed = (found != x.float().double()).flatten(1).any(1)
    assert not changed[:3].any(), "what is wrong already stays as it is"
    assert changed.sum() >= 6
    distance = (places - found[:, None]).abs().flatten(2).amax(2).amin(1)
    assert float(distance[changed].max()) < 1e-5


class Images:
    classes = 3

    def __init__(self, x, y):
        self.x, self.y = x.float(), y

    def __len__(self):
        return len(self.x)

    def batch(self, indices):
        return self.x[indices], self.y[indices]


def test_the_record_counts_images_that_stand_everywhere_and_goes_on_from_its_file(setting, tmp_path):
    model, x, y, places = setting
    right = model(places.flatten(0, 1)).argmax(1).view(len(x), -1) == y[:, None]
    stands = right.all(dim=1) & (model(x).argmax(1) == y)
    arguments = {"seed": 0, "batch_size": 10, "folder": tmp_path}
    record = spatial_accuracy(model.float(), Images(x, y), GRID, **arguments)
    assert record["accuracy"] == pytest.approx(float(stands.float().mean()))
    assert record["images"] == 24
    first = spatial_accuracy(
        model, Images(x, y), SpatialGrid(**{**vars(GRID), "images": 15}), seed=0, batch_size=10, folder=tmp_path / "b"
    )
    assert first["accuracy"] == pytest.approx(float(stands[:15].float().mean()))

    def never(number, total, done, accuracy):
        assert done == 24

    again = spatial_accuracy(model, Images(x, y), GRID, progress=never, **arguments)
    assert again == record
    model.double()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rotation": -1}, r"rotation.* in \[0, 180\] degrees, got -1"),
        ({"translation": 1.0}, r"translation.* in \[0, 1\), got 1"),
        ({"rotations": 0}, "rotations"),
        ({"translations": 0}, "translations"),
        ({"images": 0}, "images"),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        SpatialGrid(**values)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(DataError, match=r"square images to rotate, got 8x12 pixels: leave evaluate\.spatial=null"):
        GRID.check_usable((3, 8, 12))
