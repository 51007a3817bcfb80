"""The cost of a comparison, told before it: of each kind of work what a rehearsal says, times what there is of it."""

from dsrna.comparing import cost_estimate
from dsrna.stages.stage_cost import CostRange, StageCost

ROWS = "rows=[{name: a, search: ['metric=none']}, {name: b, from: RNAS}, {name: c, model: 'dsrna:cnn7'}]"
TINY = ["trainer=debug", "search.random_cells=0", "search_seeds=[0,1]", "training_seeds=[0,1,2]", "rehearsal=only"]


def test_each_kind_of_work_is_rehearsed_once_and_counted(monkeypatch, command_line, tmp_path):
    asked = []

    def costing(kind, seconds):
        def cost(*given):
            asked.append(kind)
            return StageCost(CostRange(0.0, seconds, 2 * seconds), CostRange(0, 0, 0), CostRange(0, 0, 0))

        return cost

    for kind, seconds in (("search_cost", 600), ("training_cost", 60), ("evaluating_cost", 120)):
        monkeypatch.setattr(cost_estimate, kind, costing(kind, seconds))
    text = command_line("compare", ROWS, *TINY, f"out={tmp_path}").text
    assert "[error]" not in text, text
    assert sorted(asked) == 2 * ["evaluating_cost"] + ["search_cost"] + 2 * ["training_cost"]
    # two searches; cells and the network without cells, of which the latter has a cost of its own; evaluated at most
    assert "2 x search a: 10 min each, 20 min in all" in text
    assert "9 x train a cell of darts: 1 min each, 9 min in all" in text
    assert "9 x evaluate a cell of darts: 4 min each, 36 min in all" in text
    assert "3 x train c, dsrna:cnn7: 1 min each, 3 min in all" in text
    assert "in one process: about 1 h 20 min" in text
