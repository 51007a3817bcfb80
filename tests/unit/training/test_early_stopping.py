"""When schedules end a search, what it leaves behind, and that it stays ended."""

import pytest
import torch
import torch.nn.functional as F

from dsrna.errors import ConfigError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.schedules import early_stopping_hessian
from dsrna.strategies.schedules.base import SearchSchedule
from dsrna.strategies.schedules.early_stopping_hessian import EarlyStoppingHessian
from dsrna.strategies.schedules.early_stopping_skips import EarlyStoppingSkips
from dsrna.types import CellWeights
from tests.thorough import thorough

QUICK = {"strategy": Darts(), "metric": False, "entropy_weight": 0}


class Skips(SearchSchedule):
    """Sets alphas so that the normal cell has as many skip connections after each epoch as were asked for."""

    def __init__(self, *counts):
        self.counts = counts

    def end_epoch(self, search, searching):
        with torch.no_grad():
            for cell_type, alphas in search.architecture.alphas.items():
                alphas.zero_()
                for edge in range(len(alphas)):
                    skip = cell_type == "normal" and edge < self.counts[search.epoch]
                    alphas[edge, 2 if skip else 3] = 1
        return {}


def ends(entry):
    """What an epoch's events say of the search's end."""
    return [event for event in entry.get("events", []) if event.startswith("The search ends")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "limit", "cell_types", "epochs"),
    [
        ((2, 0, 1, 2, 0), 2, None, 4),  # not in the warm-up, its first epoch
        ((2, 0, 1, 2, 0), 1, None, 3),
        ((0, 0, 1, 1, 1), 2, None, 5),
        ((2, 2, 2, 2, 2), 2, ["reduce"], 5),
    ],
)
def test_it_ends_with_the_first_cell_of_too_many_skips(search_stage, tmp_path, counts, limit, cell_types, epochs):
    stop = EarlyStoppingSkips(limit, cell_types)
    stage = search_stage(tmp_path, epochs=5, warmup=1, schedules=[Skips(*counts), stop], **QUICK)
    stage.run()
    history = stage.module.history.epochs
    assert [entry["epoch"] for entry in history] == list(range(epochs))
    assert [record["epoch"] for record in stage.folder.read_metrics()] == list(range(epochs))
    if epochs < 5:
        assert history[-1]["operation_counts"]["normal"]["skip_connect"] == counts[epochs - 1]
        assert "skip connections in the normal cell" in ends(history[-1])[0]
    assert not any(ends(entry) for entry in history[: epochs - 1])


@pytest.mark.slow
def test_a_search_that_has_ended_stays_so(search_stage, tmp_path):
    def stage():
        return search_stage(tmp_path, epochs=5, schedules=[Skips(*[2] * 5), EarlyStoppingSkips()], **QUICK)

    ended = stage()
    ended.run()
    again = stage()
    again.run()
    assert again.module.history.epochs == ended.module.history.epochs
    assert len(again.module.history.epochs) == 2
    for name, value in ended.module.model.state_dict().items():
        assert torch.equal(again.module.model.state_dict()[name], value)


@pytest.mark.slow
def test_the_eigenvalue_is_that_of_the_whole_hessian(search_stage, tmp_path):
    schedule = EarlyStoppingHessian(lookback=1, window=1, start=3, iterations=40)
    stage = search_stage(tmp_path, epochs=2, warmup=1, schedules=[schedule], dtype=torch.float64, **QUICK)
    looks = []

    class Look(SearchSchedule):
        def end_epoch(self, search, searching):
            x, y = search.batch[1]
            alphas = [alpha.detach().clone() for _, alpha in sorted(search.architecture.alphas.items())]
            names = sorted(search.architecture.alphas)

            def loss(*values):
                weights = {name: CellWeights(value.softmax(1), None) for name, value in zip(names, values, strict=True)}
                return F.cross_entropy(search.supernet(x, weights), y)

            blocks = torch.autograd.functional.hessian(loss, tuple(alphas))
            sizes = [alpha.numel() for alpha in alphas]
            rows = [
                torch.cat([block.reshape(size, -1) for block in row], dim=1)
                for size, row in zip(sizes, blocks, strict=True)
            ]
            looks.append(float(torch.linalg.eigvalsh(torch.cat(rows)).max()))
            return {}

    stage.module.schedules = (schedule, Look())
    stage.run(precision="64-true")
    warmup, record = stage.folder.read_metrics()
    assert "search/arch/hessian_eigenvalue" not in warmup
    assert record["search/arch/hessian_eigenvalue"] == pytest.approx(looks[-1], rel=1e-6)


def textbook_stop(values, window, lookback, ratio, start):
    """(epoch at which the search ends, epoch that it goes back to), both counted from the first; None for neither."""
    half = window // 2
    for last in range(len(values)):
        means = {}
        for middle in range(last - half + 1):
            around = [values[i] for i in range(middle - half, middle + half + 1) if i >= 0]
            means[middle] = sum(around) / len(around)
        now = last - half
        if now - lookback >= start and means[now] > 0 and means[now - lookback] / means[now] < ratio:
            return last, now - lookback
    return None


FALLING, RISING = [8, 7, 6, 5, 4, 3, 2, 1], [1.0, 1.1, 1.2, 1.3, 1.5, 1.8, 2.2, 2.7]


OTHERS = [FALLING, [-8, -7, -6, -3, -2, -1, 1, 2], [1, 9, 1, 1, 1, 1, 1, 1]]
WINDOWS = [(3, 2, 0), (1, 1, 0), (3, 2, 3), (5, 2, 0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "window", "lookback", "start"),
    [
        *((RISING, *window) for window in WINDOWS),
        *((values, *WINDOWS[0]) for values in OTHERS),
        *(thorough(values, *window) for values in OTHERS for window in WINDOWS[1:]),
    ],
)
def test_it_ends_when_the_mean_has_grown_and_goes_back(
    search_stage, tmp_path, monkeypatch, values, window, lookback, start
):
    numbers = iter(values)
    monkeypatch.setattr(early_stopping_hessian, "hessian_eigenvalue", lambda search, iterations: next(numbers))
    schedule = EarlyStoppingHessian(0.75, lookback, window, start)
    stage = search_stage(tmp_path, epochs=9, warmup=1, train_batches=1, schedules=[schedule], **QUICK)
    stage.run()
    history = stage.module.history.epochs
    expected = textbook_stop(values, window, lookback, 0.75, start)
    if expected is None:
        assert len(history) == 9
        return
    end, back = (1 + epoch for epoch in expected)
    assert len(history) == end + 1
    assert history[end]["weights"] == history[back]["weights"]
    now = {name: cell.operations.tolist() for name, cell in stage.module.model.architecture.expected().items()}
    for name, weights in now.items():
        torch.testing.assert_close(torch.tensor(history[back]["weights"][name]["operations"]), torch.tensor(weights))


@pytest.mark.parametrize(
    ("schedule", "epochs", "message"),
    [
        (EarlyStoppingHessian(), 18, "It takes 17 epochs with architecture steps before"),
        (EarlyStoppingSkips(cell_types=["norml"]), 9, "unknown cell type 'norml'; choose from normal, reduce"),
    ],
)
def test_what_makes_no_sense_is_refused(schedule, epochs, message):
    space = DartsSpace()
    with pytest.raises(ConfigError, match=message):
        schedule.check(space, Darts().initial(space), 2, epochs)


def test_a_space_without_skips_has_none_to_count():
    space = DartsSpace(primitives=("none", "sep_conv_3x3"))
    with pytest.raises(ConfigError, match="no skip_connect"):
        EarlyStoppingSkips().check(space, Darts().initial(space), 2, 9)


@pytest.mark.parametrize("wrong", [{"ratio": 1.0}, {"window": 4}, {"lookback": 0}, {"start": -1}, {"iterations": 0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}`"):
        EarlyStoppingHessian(**wrong)
