"""Every proxy of the config keeps the contract, in both spaces."""

import pytest
import torch
import yaml

from dsrna.attacks.base import check_batch
from dsrna.config.catalog import choices, conf_folder
from dsrna.config.parts import build_part, with_fractions
from dsrna.errors import DataError, NonFiniteError, UnsupportedError
from dsrna.proxies.croze import Croze
from dsrna.proxies.jacov import JacobianCovariance
from dsrna.proxies.nwot import Nwot
from dsrna.proxies.snip import Snip
from dsrna.proxies.zen import Zen
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.proxy_conformance import check_proxy
from dsrna.testing.proxy_networks import image_batch
from dsrna.testing.tiny_networks import linear_network

COUNTING = ("params", "flops", "zen")
STRING = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"


def proxy_of(name):
    text = (conf_folder() / "proxy" / f"{name}.yaml").read_text().replace("${threat.eps}", "8/255")
    return build_part(with_fractions(yaml.safe_load(text)), name)


def nasbench201_network():
    torch.manual_seed(0)
    space = Nasbench201Space()
    return space.network(space.genotype(STRING), (3, 8, 8), 3, cells=1, channels=4, mean=(0.5,) * 3, std=(0.25,) * 3)


def batch():
    return image_batch(dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("proxy"))
def test_conformance(name):
    check_proxy(proxy_of(name), nasbench201_network(), *batch(), reads_weights=name not in COUNTING)


@pytest.mark.parametrize("name", choices("proxy"))
def test_every_proxy_scores_networks_of_the_darts_space(name):
    torch.manual_seed(0)
    network = DartsSpace().network(published("DARTS_V2"), (3, 8, 8), 3, cells=3, channels=4)
    draw = torch.Generator().manual_seed(0)
    assert proxy_of(name)(network, *batch(), draw) != 0


@pytest.mark.parametrize("proxy", [Snip(), Nwot(), Zen(), Croze()])
def test_a_network_without_the_layers_looked_at_is_refused(proxy):
    network = torch.nn.Sequential(torch.nn.Flatten()) if not isinstance(proxy, Croze) else linear_network(torch.eye(3))
    with pytest.raises(UnsupportedError, match=r"Expected a|expected a"):
        proxy(network, *batch(), torch.Generator())


def test_a_constant_network_has_no_jacobian_covariance():
    space = Nasbench201Space()
    dead = space.genotype("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    with pytest.raises(NonFiniteError, match="JacobianCovariance: the score is nan"):
        JacobianCovariance()(space.network(dead, (3, 8, 8), 3, cells=1, channels=4), *batch())


def test_no_images_no_score():
    x, y = batch()
    check_batch(x[:0], y[:0])
    with pytest.raises(DataError, match="at least one image"):
        Snip()(nasbench201_network(), x[:0], y[:0])
