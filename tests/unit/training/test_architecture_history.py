"""The history against numbers worked out by hand."""

import json
import math

import pytest
import torch

from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype_codec import from_json
from dsrna.training.architecture_history import ArchitectureHistory
from dsrna.types import CellWeights

SPACE = DartsSpace(nodes=1, primitives=("none", "skip_connect", "sep_conv_3x3"))
NORMAL = CellWeights(torch.tensor([[0.0, 0.75, 0.25], [0.5, 0.0, 0.5]]), torch.tensor([0.25, 0.75]))
REDUCE = CellWeights(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], requires_grad=True))


@pytest.fixture
def history():
    history = ArchitectureHistory(SPACE)
    history.numbers = history.add(3, {"normal": NORMAL, "reduce": REDUCE})
    return history


def test_an_entry_holds_weights_entropy_and_genotype(history):
    (entry,) = history.epochs
    assert entry["epoch"] == 3
    assert entry["weights"] == {
        "normal": {"operations": [[0.0, 0.75, 0.25], [0.5, 0.0, 0.5]], "edges": [0.25, 0.75]},
        "reduce": {"operations": [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], "edges": None},
    }
    entropy = (-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) + math.log(2)) / 2
    assert entry["entropy"] == {"normal": pytest.approx(entropy), "reduce": pytest.approx(0, abs=1e-6)}
    genotype = from_json(entry["genotype"])
    assert set(genotype.cells["normal"].nodes[0]) == {("skip_connect", 0), ("sep_conv_3x3", 1)}
    assert set(genotype.cells["reduce"].nodes[0]) == {("skip_connect", 0), ("skip_connect", 1)}
    assert history.genotype({"normal": NORMAL, "reduce": REDUCE}) == genotype


def test_the_numbers_to_log(history):
    assert history.numbers["arch/skip_normal"] == 1
    assert history.numbers["arch/skip_reduce"] == 2
    assert history.numbers["arch/entropy_normal"] == history.epochs[0]["entropy"]["normal"]


def test_collapse_to_skip_connections_is_warned_of(history, caplog):
    history.add(4, {"normal": NORMAL, "reduce": REDUCE})
    assert "epoch 5: Skip connections take over (2 of 2 in the reduce cell)" in caplog.text


def test_the_table_has_a_row_an_edge_and_epoch(history):
    history.add(4, {"normal": REDUCE, "reduce": NORMAL})
    rows = {(row["epoch"], row["cell"], row["edge"]): row for row in history.table()}
    assert len(rows) == len(history.table()) == 2 * 2 * 2
    assert rows[4, "reduce", "0-2"]["skip_connect"] == 0.75
    assert rows[4, "normal", "1-2"]["skip_connect"] == 1.0
    assert (rows[4, "reduce", "1-2"]["edge_weight"], rows[4, "normal", "1-2"]["edge_weight"]) == (0.75, None)
    assert list(rows[4, "reduce", "0-2"]) == [
        "epoch", "cell", "edge", "none", "skip_connect", "sep_conv_3x3", "edge_weight"
    ]  # fmt: skip


def test_it_is_written_as_json_with_the_names_of_edges_and_operations(history):
    document = json.loads(json.dumps(history.to_json(), allow_nan=False))
    assert document["space"] == "darts"
    assert document["primitives"] == ["none", "skip_connect", "sep_conv_3x3"]
    assert document["cells"] == {"normal": {"edges": [[0, 2], [1, 2]]}, "reduce": {"edges": [[0, 2], [1, 2]]}}
    assert document["epochs"] == history.epochs
