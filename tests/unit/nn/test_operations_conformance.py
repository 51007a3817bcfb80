"""Every operation of the table keeps the contract, alone and in a space."""

import json

import pytest

from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype_codec import from_json, to_json
from dsrna.testing.operation_conformance import check_operation
from dsrna.testing.space_conformance import check_space


@pytest.mark.parametrize("name", OPERATIONS)
def test_conformance(name):
    check_operation(OPERATIONS[name], draws=name == "noise")


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("none", "noise")])
def test_a_one_hot_supernet_of_it_is_the_derived_network(name):
    space = DartsSpace(nodes=1, primitives=("none", name))
    check_space(
        space,
        lambda genotype: from_json(json.loads(json.dumps(to_json(genotype))), space),
        {"cells": 3, "channels": 4},
        genotypes=1,
    )
