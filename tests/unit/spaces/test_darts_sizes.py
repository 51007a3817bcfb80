"""Parameter counts against the published ones and an independent closed form; sizes that are refused."""

import pytest
import torch

from dsrna.errors import ConfigError, GenotypeError
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace


def operation_count(name, c, stride):
    """Parameters of one operation on c channels: k x k depthwise, 1 x 1 pointwise and BatchNorm's scale and shift."""
    if name == "skip_connect":
        return c * c + 2 * c if stride == 2 else 0
    if name.endswith("pool_3x3"):
        return 0
    k = int(name[-1])
    block = k * k * c + c * c + 2 * c
    return 2 * block if name.startswith("sep") else block


def network_count(genotype, cells, channels, classes, imagenet=False):
    """Parameters of the whole network, by formulas; each cell type concatenates four nodes."""
    if imagenet:
        half = channels // 2
        total = 9 * 3 * half + 2 * half + 9 * half * channels + 2 * channels + 9 * channels**2 + 2 * channels
        earlier, previous, c = channels, channels, channels
    else:
        total = 27 * 3 * channels + 2 * 3 * channels
        earlier, previous, c = 3 * channels, 3 * channels, channels
    for position in range(cells):
        cell_type = "reduce" if position in (cells // 3, 2 * cells // 3) else "normal"
        c = 2 * c if cell_type == "reduce" else c
        total += earlier * c + 2 * c + previous * c + 2 * c
        for node in genotype.cells[cell_type].nodes:
            for name, source in node:
                total += operation_count(name, c, 2 if cell_type == "reduce" and source < 2 else 1)
        earlier, previous = previous, 4 * c
    return total + previous * classes + classes


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def build(*args, **sizes):
    with torch.device("meta"):
        return DartsSpace().network(*args, **sizes)


@pytest.mark.parametrize("name", ["DARTS_V2", "E2RNAS"])
def test_parameters_equal_the_closed_form(name):
    genotype = published(name)
    assert count(build(genotype, (3, 32, 32), 10)) == network_count(genotype, 20, 36, 10)
    small = build(genotype, (3, 32, 32), 7, cells=5, channels=8)
    assert count(small) == network_count(genotype, 5, 8, 7)


def test_parameters_equal_the_published_ones_on_imagenet():
    network = build(published("DARTS_V2"), (3, 224, 224), 1000, cells=14, channels=48, stem="imagenet")
    assert count(network) == network_count(published("DARTS_V2"), 14, 48, 1000, imagenet=True) == 4_718_752


def test_the_auxiliary_head_adds_its_own_parameters_alone():
    plain = build(published("DARTS_V2"), (3, 32, 32), 10)
    with_head = build(published("DARTS_V2"), (3, 32, 32), 10, auxiliary=True)
    channels = 4 * 36 * 4
    head = channels * 128 + 2 * 128 + 4 * 128 * 768 + 2 * 768 + 768 * 10 + 10
    assert count(with_head) - count(plain) == head


@pytest.mark.slow
def test_supernet_parameters_equal_the_closed_form():
    """The published search networks (16 channels, 8 cells) have 1.93 M parameters, and 0.3 M with K = 4."""
    for partial, published_millions in ((1, 1.93), (4, 0.30)):
        total, earlier, previous, c = 27 * 48 + 2 * 48, 48, 48, 16
        for position in range(8):
            reduction = position in (2, 5)
            c = 2 * c if reduction else c
            a = c // partial
            total += earlier * c + previous * c
            for target in range(2, 6):
                for source in range(target):
                    convolutions = 2 * (9 * a + a * a) + 2 * (25 * a + a * a) + 9 * a + a * a + 25 * a + a * a
                    total += convolutions + (a * a if reduction and source < 2 else 0)
            earlier, previous = previous, 4 * c
        total += previous * 10 + 10
        with torch.device("meta"):
            supernet = DartsSpace().supernet((3, 32, 32), 10, partial_channels=partial)
        assert count(supernet) == total
        assert round(total / 1e6, 2) == published_millions


@pytest.mark.parametrize(
    ("cells", "reductions"), [(1, (0,)), (2, (0, 1)), (3, (1, 2)), (8, (2, 5)), (14, (4, 9)), (20, (6, 13))]
)
def test_reduction_cells_stand_at_one_and_two_thirds(cells, reductions):
    with torch.device("meta"):
        supernet = DartsSpace(nodes=1).supernet((3, 32, 32), 10, cells=cells)
        network = DartsSpace().network(published("DARTS_V1"), (3, 32, 32), 10, cells=cells)
    assert supernet.skeleton.reductions == network.skeleton.reductions == reductions
    strides = [max(edge.stride for edge in cell.edges) for cell in supernet.cells]
    assert tuple(position for position, stride in enumerate(strides) if stride == 2) == reductions


SPACE = DartsSpace()
GENOTYPE = published("DARTS_V2")
REFUSED = [
    (lambda: DartsSpace(nodes=0), r"`nodes` >= 1, got 0"),
    (
        lambda: DartsSpace(primitives=("none", "sep_conv_3x33")),
        r"unknown operation 'sep_conv_3x33'.*nearest: sep_conv_3x3",
    ),
    (lambda: DartsSpace(primitives=("none",)), r"other than none"),
    (lambda: DartsSpace(primitives=("skip_connect", "skip_connect")), r"without repeats"),
    (lambda: SPACE.edges("reduction"), r"unknown cell type 'reduction'"),
    (lambda: SPACE.supernet((3, 32, 32), 1), r"`classes` >= 2, got 1"),
    (lambda: SPACE.supernet((3, 32, 32), 10, cells=0), r"`cells` >= 1, got 0"),
    (lambda: SPACE.supernet((3, 32, 32), 10, channels=0), r"`channels` >= 2, got 0"),
    (lambda: SPACE.supernet((3, 32, 32), 10, stem_multiplier=0), r"`stem_multiplier` >= 1, got 0"),
    (
        lambda: SPACE.supernet((3, 32, 32), 10, channels=18, partial_channels=4),
        r"`partial_channels`.* 4 for 18 channels",
    ),
    (lambda: SPACE.supernet((0, 32, 32), 10), r"image `shape`"),
    (lambda: SPACE.supernet((32, 32), 10), r"image `shape`"),
    (lambda: SPACE.supernet((1, 32, 32), 10, mean=(0.5, 0.5, 0.5)), r"`mean` with one number for each .* 1 channels"),
    (lambda: SPACE.supernet((3, 32, 32), 10, std=(0.5,)), r"`std` with one number for each .* 3 channels"),
    (lambda: SPACE.supernet((3, 32, 32), 10, std=(0.5, 0.0, 0.5)), r"`std` > 0"),
    (lambda: SPACE.supernet((3, 3, 32), 10), r"at least 4 x 4 pixels .* cifar stem and 2 reduction cells, got 3 x 32"),
    (
        lambda: SPACE.network(GENOTYPE, (3, 28, 28), 10, stem="imagenet"),
        r"at least 32 x 32 pixels .* imagenet stem and 2 reduction cells, got 28 x 28",
    ),
    (lambda: SPACE.network(GENOTYPE, (3, 32, 32), 10, stem="resnet"), r"'cifar' or 'imagenet', got 'resnet'"),
    (lambda: SPACE.network(GENOTYPE, (3, 32, 32), 10, cells=2, channels=4, drop_path=1.0), r"`drop_path` in \[0, 1\)"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused_sizes(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_network_of_another_spaces_genotype_is_refused():
    with pytest.raises(GenotypeError, match="normal: expected 2 nodes, got 4"):
        DartsSpace(nodes=2).network(GENOTYPE, (3, 32, 32), 10)
