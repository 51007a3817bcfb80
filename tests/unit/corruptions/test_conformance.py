"""Every corruption of the catalog keeps the contract."""

import pytest

from dsrna.corruptions.catalog import FIXED, RANDOM, corrupt
from dsrna.testing.corruption_conformance import check_corruption


@pytest.mark.parametrize("name", sorted(FIXED | RANDOM))
def test_conformance(name):
    check_corruption(
        lambda x, severity, generator: corrupt(x, name, severity, generator),
        draws=name in RANDOM,
        grey=name != "saturate",
        grows=name != "elastic_transform",  # published so: severity 1 shears the whole image, 5 bends it here and there
    )
