"""Which runs a comparison is made of, and in which order."""

import pytest
import torch

from dsrna.comparing.architectures import FixedNetwork, digest_of
from dsrna.comparing.costs import Costs
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.settings import RowSettings, comparison_settings
from dsrna.config.compose import compose
from dsrna.errors import ConfigError
from dsrna.evaluation import FoolboxPGD, Square
from dsrna.evaluation.foolbox_engine import FoolboxFGSM
from dsrna.stages.evaluation_cost import seconds_of
from dsrna.stages.evaluation_passes import attack_passes
from dsrna.types import Threat


def plan(*rows, search_seeds=(0, 1), training_seeds=(0, 1)):
    return Plan([RowSettings.model_validate(row) for row in rows], search_seeds, training_seeds)


OURS, PUBLISHED = {"name": "ours", "search": ["metric=none"]}, {"name": "pub", "from": "DARTS_V2"}
RANDOM = {"name": "random", "random": 3, "like": "ours"}


def test_the_first_of_everything_comes_before_the_second_of_anything():
    chains = [
        (chain.origin.row, chain.origin.number, chain.training_seed) for chain in plan(OURS, PUBLISHED, RANDOM).chains
    ]
    assert chains[:6] == [
        ("ours", 0, 0), ("pub", 0, 0), ("random", 0, 0), ("ours", 1, 0), ("random", 1, 0), ("random", 2, 0)
    ]  # fmt: skip
    assert len(set(chains)) == len(chains) == 2 * (2 + 1 + 3)


def test_random_cells_are_like_those_of_one_search_after_the_other():
    of = plan(OURS, RANDOM, search_seeds=(5, 7))
    assert [of.like(Origin("random", n)).number for n in range(3)] == [5, 7, 5]
    assert of.like(Origin("ours", 5)) is None


def test_fixed_networks_of_other_arguments_are_others():
    small, large = (FixedNetwork("dsrna:preact_resnet18", f'{{"width": {width}}}') for width in (16, 64))
    assert digest_of(small) != digest_of(large)
    assert digest_of(small) == digest_of(FixedNetwork(small.model, small.arguments))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            "[{name: a, search: [], from: DARTS_V2}]",
            "`from`, `random` and `model`, got 2",
        ),
        ("[{name: a}]", "got 0 of them"),
        ("[{name: a, search: ['retrain.epochs=3']}]", "`retrain.epochs` is the same for all rows"),
        ("[{name: a, search: ['data=mnist']}]", "`data` is the same for all rows"),
        ("[{name: a, query: ['space=darts']}]", "`space` is the same for all rows"),
        ("[{name: a, from: DARTS_V2, like: a}]", "only random cells are `like`"),
        ("[{name: a, random: 2, like: b}]", "Unknown row `b`"),
        ("[{name: a, random: 2},{name: a, from: DARTS_V2}]", "2 rows are called a"),
        ("[{name: a, random: 2},{name: b, random: 2, like: a}]", "are like those of a search or a published one"),
        ("[{name: a, random: 0}]", "at least 1"),
        ("[{name: a, consensus: b}]", "Unknown row `b`"),
        ("[{name: a, consensus: b}, {name: b, from: DARTS_V2}]", "a consensus is of at least two searches"),
        ("[{name: a, consensus: b}, {name: b, search: []}]", "give several search_seeds"),
        ("[{name: a, model: 'dsrna:wrn_16_4'},{name: b, random: 2, like: a}]", "are like those of a search or a"),
        ("[{name: a, model: 'dsrna:wrn_16_4', space: darts}]", "of no search space"),
        ("[{name: a, from: DARTS_V2, model_arguments: {}}]", "only a `model` has `model_arguments`"),
        ("[]", "a list of methods"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(rows, says):
    with pytest.raises(ConfigError, match="conf: rows") as refused:
        comparison_settings(compose("compare", [f"rows={rows}"]))
    assert says in str(refused.value)


@pytest.mark.parametrize("override", ["stages=[search]", "from=DARTS_V2", "reference=b", "training_seeds=[0,0]"])
def test_what_a_comparison_decides_is_refused(override):
    with pytest.raises(ConfigError):
        comparison_settings(compose("compare", ["rows=[{name: a, random: 1}]", override]))


def test_costs_are_as_measured_and_before_that_as_rehearsed():
    costs = Costs({"train": 10.0, "search": None})
    assert costs.total(["train", "train"]) == 20
    assert costs.total(["train", "search"]) is None
    costs.note("train", 2.0)
    costs.note("train", 4.0)
    costs.note("search", 1.0)
    assert costs.total(["train", "search"]) == 4


@pytest.mark.parametrize(
    ("attack", "forwards", "backwards"),
    [(FoolboxFGSM(), 2, 1), (FoolboxPGD(steps=7), 8, 7), (FoolboxPGD(steps=7, restarts=3), 24, 21)],
)
def test_passes_of_attacks_that_break_nothing(attack, forwards, backwards):
    found = attack_passes(attack, Threat("linf", 0.1), (1, 8, 8), 10)
    assert found[1] == backwards
    assert forwards <= found[0] <= forwards + 3  # engines look at the network once or twice besides


def test_a_black_box_attack_never_goes_backwards():
    forwards, backwards, _ = attack_passes(Square(queries=50), Threat("linf", 0.1), (3, 8, 8), 10)
    assert backwards == 0
    assert 50 <= forwards <= 70


def test_what_warms_up_is_not_timed():
    taken = iter([0.2, 0.0, 0.0, 0.0])

    def action():
        import time

        time.sleep(next(taken))

    assert seconds_of(action, torch.device("cpu")) < 0.1


def test_the_mean_call_is_timed_as_a_machine_has_other_work_too(monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 10.5, 11.0, 11.5, 12.0, 14.0])
    monkeypatch.setattr("dsrna.stages.evaluation_cost.working_seconds", lambda _: next(clock))
    assert seconds_of(lambda: None, torch.device("cpu")) == 9.0  # long enough by itself
    clock = iter([0.0, 1.0, 1.0, 1.25, 2.0, 2.25, 3.0, 4.0])
    assert seconds_of(lambda: None, torch.device("cpu")) == 0.5
