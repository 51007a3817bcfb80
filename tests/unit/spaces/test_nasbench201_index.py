"""Published indices and isomorphism classes, against the published map where it is there."""

import hashlib
import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from dsrna.errors import GenotypeError
from dsrna.spaces.nasbench201.index import COUNT, index_of, isomorphs, string_at
from dsrna.spaces.nasbench201.isomorphism import canonical_form

META = Path(os.environ.get("DSRNA_DATA", "")) / "robustness-data" / "meta.json"

# as they stand in the publications of both tables and of the benchmark
PUBLISHED = {
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    9: "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    50: "|nor_conv_1x1~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|nor_conv_1x1~2|",
    1000: "|skip_connect~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|skip_connect~1|nor_conv_3x3~2|",
    13433: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_1x1~1|skip_connect~2|",
}


@pytest.mark.parametrize("index", PUBLISHED)
def test_published_indices(index):
    assert string_at(index) == string_at(np.int64(index)) == PUBLISHED[index]
    assert index_of(PUBLISHED[index]) == index


def test_indices_and_strings_are_one_to_one_in_an_order_that_never_changes():
    strings = [string_at(index) for index in range(COUNT)]
    assert len(set(strings)) == COUNT == 15_625
    assert [index_of(text) for text in strings] == list(range(COUNT))
    digest = hashlib.sha256("\n".join(strings).encode()).hexdigest()
    assert digest == "83abc799e45cf34e9d2163654668ab998b9a54d01c39e72ca1f71f2cdf356d84"


def unique_text(text):
    """The published rule for an architecture string, read directly: parts of a node's group, nested and sorted."""
    values = {0: "0"}
    for node, group in enumerate(text.split("+"), start=1):
        parts = []
        for part in group.strip("|").split("|"):
            operation, source = part.split("~")
            value = values[int(source)]
            if operation == "none" or value == "#":
                parts.append("#")
            elif operation == "skip_connect":
                parts.append(value)
            else:
                parts.append(f"({value})@{operation}")
        values[node] = "+".join(sorted(parts))
    return values[3]


def test_classes_equal_those_of_the_published_rule():
    members = defaultdict(list)
    for index in range(COUNT):
        members[unique_text(string_at(index))].append(index)
    assert len(members) == len(set(isomorphs().tolist())) == 6466
    for indices in members.values():
        assert (isomorphs()[indices] == min(indices)).all()


def test_isomorphic_by_hand():
    conv, skip, none = "nor_conv_3x3", "skip_connect", "none"
    direct = canonical_form([none, none, none, conv, none, none])
    # zeros that come through an operation are zeros, and an unused node says nothing
    assert canonical_form([none, none, conv, conv, conv, none]) == direct
    assert canonical_form([conv, conv, skip, conv, none, none]) == direct
    # one convolution of the input, by way of node 1
    assert canonical_form([skip, none, none, none, conv, none]) == direct
    # a sum doesn't depend on which node its terms come from
    assert canonical_form([conv, none, none, skip, skip, none]) == canonical_form([skip, none, none, conv, skip, none])
    assert canonical_form([conv, none, none, skip, skip, none]) != direct


@pytest.mark.parametrize("index", [-1, COUNT, 1.0, "50", None, True])
def test_refused_indices(index):
    with pytest.raises(GenotypeError, match="0 to 15624, got"):
        string_at(index)


@pytest.mark.real_data
@pytest.mark.skipif(not META.is_file(), reason="set $DSRNA_DATA to a folder with robustness-data/meta.json")
def test_order_and_classes_equal_the_published_map():
    ids = json.loads(META.read_text())["ids"]
    assert len(ids) == COUNT
    for key, entry in ids.items():
        assert string_at(int(key)) == entry["nb201-string"]
        assert isomorphs()[int(key)] == int(entry["isomorph"])
