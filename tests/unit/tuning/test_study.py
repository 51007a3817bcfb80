"""Studies, of trials that cost nothing: what is measured is a formula."""

import json
import sys

import pytest

from dsrna.__main__ import main
from dsrna.errors import DsrnaError
from dsrna.interruption import Interrupted
from dsrna.run_lock import held
from dsrna.tuning import run, study
from dsrna.tuning.result import front

RANGES = 'ranges=["metric.weight=interval(0,1)","search.epochs=int(interval(6,9))"]'
BEST = 0.3


@pytest.fixture
def tune(command_line, tmp_path, monkeypatch):
    """(overrides…, measured=what a trial gives) -> (printed, study.json); always in the same folder."""

    def values(request, where, values, seeds, tell):
        weight = float(values.get("metric.weight", 1.0))
        return [-((weight - BEST) ** 2)]

    def started(*overrides, measured=values, name="tune", out=tmp_path):
        monkeypatch.setattr(run, "values_of", measured)
        monkeypatch.setattr(run, "write_study", lambda folder: folder)  # which tests of the page draw
        outcome = command_line("tune", RANGES, *overrides, f"name={name}", f"out={out}", "progress=off")
        file = out / name / "study.json"
        return outcome, json.loads(file.read_text()) if file.exists() else None

    return started


def weights(document):
    return [trial["parameters"]["metric.weight"] for trial in document["trials"]]


def test_the_best_value_is_found_near_the_optimum_and_more_trials_go_on(tune):
    outcome, few = tune("trials=4")
    assert outcome.status == 0, outcome.text
    assert (len(few["trials"]), few["importances"][0].keys()) == (4, {"metric.weight", "search.epochs"})
    _, more = tune("trials=20")
    assert weights(more)[:4] == weights(few)
    assert len(more["trials"]) == 20
    (best,) = more["best"]
    assert abs(weights(more)[best] - BEST) < 0.05
    assert more["importances"][0]["metric.weight"] > 0.8  # the other one changes nothing
    assert more["objectives"] == ["retrain/val/acc_adv"]  # the usual one


def test_a_study_that_was_stopped_is_that_of_one_that_was_not(tune):
    _, whole = tune("trials=6", "startup=2", name="whole")
    told = []

    def stopped(request, where, values, seeds, tell):
        told.append((where, values["metric.weight"]))
        if len(told) == 3:
            raise Interrupted(15)
        return [-((float(values["metric.weight"]) - BEST) ** 2)]

    assert tune("trials=6", "startup=2", measured=stopped)[0].status == 143
    outcome, again = tune("trials=6", "startup=2", measured=stopped)
    assert outcome.status == 0, outcome.text
    assert told[2] == told[3]  # the trial that was stopped, in its folder, with its values
    assert [trial["state"] for trial in again["trials"]] == ["complete"] * 6
    assert weights(again) == weights(whole)


def test_trials_that_are_behind_are_pruned_and_those_that_fail_are_told(tune):
    def measured(request, where, values, seeds, tell):
        number = int(where[-4:])
        if number == 3:
            raise DsrnaError("no luck")
        quality = 1.0 if number < 3 else 0.1
        for epoch in range(1, 6):
            tell(epoch, quality * epoch)
        return [quality * 5]

    outcome, document = tune("trials=6", "startup=2", measured=measured)
    states = [trial["state"] for trial in document["trials"]]
    assert states == ["complete"] * 3 + ["fail"] + ["pruned"] * 2
    assert document["trials"][3]["error"] == "no luck"
    assert document["trials"][4]["epochs"] == {"1": 0.1}
    assert "no luck" in outcome.text
    assert "pruned, behind the other trials in epoch 1" in outcome.text
    _, kept = tune("trials=6", "startup=2", "pruner=none", name="kept", measured=measured)
    assert [trial["state"] for trial in kept["trials"]] == ["complete"] * 3 + ["fail"] + ["complete"] * 2


def test_several_objectives_have_a_front_and_prune_nothing(tune):
    def measured(request, where, values, seeds, tell):
        weight = float(values["metric.weight"])
        tell(1, weight)
        return [weight, -(weight**2)]

    outcome, document = tune("trials=5", "objectives=[retrain/val/acc_adv,retrain/val/acc]", measured=measured)
    assert outcome.status == 0, outcome.text
    assert document["best"] == [0, 1, 2, 3, 4]  # the more of one, the less of the other
    assert {trial["state"] for trial in document["trials"]} == {"complete"}


def test_the_front_is_what_nothing_beats():
    points = [[1.0, 5.0], [2.0, 4.0], [1.0, 4.0], [2.0, 4.0], [3.0, 0.0], None]
    trials = [{"number": number, "values": values} for number, values in enumerate(points)]
    assert front(trials) == [0, 1, 3, 4]


def test_the_best_and_the_untouched_settings_are_compared_by_other_seeds(tune):
    asked = []

    def measured(request, where, values, seeds, tell=None):
        asked.append((where, seeds))
        return [-((float(values.get("metric.weight", 0.01)) - BEST) ** 2) + 0.001 * seeds[0]]

    _, document = tune("trials=3", "confirmation=[7,8]", measured=measured)
    (best,) = document["best"]
    assert [each for each in asked if "confirmation" in each[0]] == [
        (f"confirmation/trial000{best}_7", [7]), (f"confirmation/trial000{best}_8", [8]),
        ("confirmation/default_7", [7]), ("confirmation/default_8", [8]),
    ]  # fmt: skip
    assert document["confirmation"]["best"]["measured"] == pytest.approx(
        [document["trials"][best]["values"][0] + 0.001 * seed for seed in (7, 8)]
    )
    default = document["confirmation"]["default"]
    assert default["values"] == {}
    assert default["measured"] == pytest.approx([-(0.29**2) + 0.007, -(0.29**2) + 0.008])


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["trials=0"], "conf: trials"),
        (["command=evaluate"], "conf: command"),
        (["objectives=[retrain/test/acc]"], "test split chooses nothing"),
        (["objectives=[retrain/val/acc_adv,retrain/val/acc]", "pruner=median"], "one objective to prune by"),
        (["overrides=['stages=[search,retrain,evaluate]']"], "leave evaluate and report out"),
        (["overrides=['seed=3']"], "the study's own"),
        (["overrides=['metric.weight=3']"], "a range and a value"),
        (["ranges=['search.cells=int(interval(0,3))']"], "conf: search.cells"),
        (["ranges=['metric.wieght=interval(0,1)']"], "no setting `wieght`"),
        (["command=retrain", "ranges=['retrain.noise=interval(0,1)']"], "from=RNAS"),
        (["storage=postgresql://nobody@localhost:1/none"], "psycopg2|can't be used"),
    ],
)
def test_what_can_not_be_tuned_is_refused_before_anything_is_tried(command_line, tmp_path, typed, says, monkeypatch):
    monkeypatch.setattr(run, "values_of", lambda *_: pytest.fail("tried"))
    words = typed if any("ranges" in each for each in typed) else [RANGES, *typed]
    outcome = command_line("tune", *words, f"out={tmp_path}")
    assert outcome.status == 2, outcome.text
    assert any(each in outcome.text for each in says.split("|")), outcome.text


def test_while_others_are_at_a_trial_it_is_left_to_them_and_so_is_the_confirmation(tune, tmp_path):
    def measured(request, where, values, seeds, tell=None):
        assert "confirmation" not in where
        if where.endswith("1"):
            raise KeyboardInterrupt  # as if the process were killed: the trial is neither told nor ended
        return [1.0]

    with pytest.raises(KeyboardInterrupt):
        tune("trials=3", "confirmation=[7]", measured=measured)
    with held(tmp_path / "tune" / "trials" / "0001"):
        outcome, document = tune("trials=3", "confirmation=[7]", measured=measured)
    assert "other processes work on the trials [1]" in outcome.text
    assert [trial["state"] for trial in document["trials"]] == ["complete", "running", "complete"]
    assert document["confirmation"] == {}


def test_a_study_of_other_settings_is_refused(tune):
    assert tune("trials=1")[0].status == 0
    outcome, _ = tune("trials=2", "seeds=[1]")
    assert outcome.status == 2
    assert "of other settings (seeds)" in outcome.text


def test_without_optuna_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", RANGES, f"out={tmp_path}"]) == 2
    assert "pip install 'dsrna[tune]'" in capsys.readouterr().err


def test_a_database_outside_of_the_folder_is_shared(tune, tmp_path, monkeypatch):
    monkeypatch.setenv(study.STORAGE, f"sqlite:///{tmp_path / 'shared.db'}")
    tune("trials=2")
    _, other = tune("trials=3", out=tmp_path / "elsewhere")
    assert len(other["trials"]) == 3
