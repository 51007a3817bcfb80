"""A search that collapses says so while it runs, once, and in its record."""

import json
import logging

import pytest
import torch

from dsrna.metrics.base import RobustnessMetric
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.training.collapse import CollapseWatch, cut_off_cells, logits_spread

NB201, DARTS = Nasbench201Space(), DartsSpace(nodes=1)
WHOLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
NOTHING = WHOLE.replace("nor_conv_3x3", "none")


def cell(text):
    return NB201.genotype(text)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_spread_of_the_logits_is_their_share_that_the_images_decide(offset):
    draw = torch.Generator().manual_seed(0)
    constant, own = torch.randn(5, generator=draw).double(), torch.randn(200, 5, generator=draw).double()
    for share in (0.0, 1e-3, 0.5, 1.0):
        logits = constant + share * own + offset  # which is the same for all classes, and so decides nothing
        centred = [row - sum(row) / 5 for row in logits.numpy()]
        mean = sum(centred) / 200
        expected = (sum(((row - mean) ** 2).sum() for row in centred) / sum((row**2).sum() for row in centred)) ** 0.5
        assert float(logits_spread(logits)) == pytest.approx(expected, abs=1e-7)
    assert float(logits_spread(torch.zeros(3, 4))) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (WHOLE, []),
        (NOTHING, ["cell"]),
        ("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|", ["cell"]),  # nothing leaves node 0
        ("|skip_connect~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|", ["cell"]),
        ("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|", []),
        ("|none~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|", []),
    ],
)
def test_cells_that_let_nothing_through_are_found(text, found):
    assert cut_off_cells(NB201, cell(text)) == found


def test_cells_of_two_inputs():
    normal = CellGenotype(nodes=((("skip_connect", 0), ("none", 1)),), concat=(2,))
    reduce = CellGenotype(nodes=((("none", 0), ("none", 1)),), concat=(2,))
    assert cut_off_cells(DARTS, Genotype("darts", {"normal": normal, "reduce": reduce})) == ["reduce"]


def test_the_warning_comes_once_with_its_reasons_and_again_after_a_recovery():
    watch, healthy = CollapseWatch(NB201), (cell(WHOLE), 0.8, 0.6, 100, 10)
    assert watch.look(*healthy) == (False, "")
    collapsing, warning = watch.look(cell(NOTHING), 0.8, 0.1, 100, 10)
    assert collapsing
    assert "derived cell cell" not in warning.replace("the derived cell cell", "")
    assert "lets nothing" in warning
    assert "back to chance (10.0%)" in warning
    assert "spread" not in warning
    again = CollapseWatch(NB201)
    again.load_state(json.loads(json.dumps(watch.state())))
    for each in (watch, again):
        assert each.look(cell(WHOLE), 0.001, 0.5, 100, 10) == (True, ""), "it was said"
        assert each.look(*healthy) == (False, "")
        assert "spread 0.001" in each.look(cell(WHOLE), 0.001, 0.5, 100, 10)[1]


def test_a_network_that_has_learnt_nothing_yet_is_not_called_collapsing():
    watch = CollapseWatch(NB201)
    assert watch.look(cell(WHOLE), 0.5, 0.1, 100, 10) == (False, "")
    assert watch.look(cell(WHOLE), 0.5, 0.15, 100, 10) == (False, ""), "within what chance gives of 100 images"


class Silence(RobustnessMetric):
    """Rewards logits of 0."""

    def score(self, model, x, y, generator):
        return -model(x).abs().mean(1)


@pytest.mark.slow
def test_a_search_that_collapses_says_so(search_stage, tmp_path, caplog):
    stage = search_stage(
        tmp_path, space=NB201, strategy=Darts(), metric=Silence(), gamma=100.0, entropy_weight=0, warmup=1, epochs=3
    )
    alphas = stage.module.model.architecture.alphas["cell"]
    with torch.no_grad():
        alphas[:, 0] = 8.0  # nearly all weight on `none`
    with caplog.at_level(logging.WARNING, "dsrna"):
        stage.run()
    said = [record.getMessage() for record in caplog.records if "collapsing" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("search epoch 2: The search is collapsing to a network that ignores its input: ")
    records = stage.folder.read_metrics()
    assert [record.get("search/collapsing") for record in records] == [None, 1.0, 1.0]
    assert all(0 <= record["search/val/logits_spread"] <= 1 for record in records)
    assert any("collapsing" in event for event in stage.module.history.epochs[1]["events"])
