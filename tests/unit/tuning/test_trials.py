"""A trial as it is: a tiny search and training, watched after every epoch; and the page of a study."""

import pytest

from dsrna.config.compose import compose_with_hydra
from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.runs.request import request_of
from dsrna.tuning.report import write_study
from dsrna.tuning.result import SCHEMA, VERSION
from dsrna.tuning.settings import trial_overrides, tune_settings
from dsrna.tuning.trials import PrunedError, values_of

TINY = (
    "overrides=['trainer=debug','trainer.limits.batches=1','trainer.limits.epochs=null','retrain.epochs=3',"
    "'from=RNAS','retrain.cells=1','retrain.channels=2','retrain.selection_steps=1']"
)
RANGES = "ranges=['retrain.noise=interval(0,0.5)']"


@pytest.fixture(scope="module")
def request_(tmp_path_factory):
    config, of_hydra = compose_with_hydra("tune", ["command=retrain", TINY, RANGES])
    settings, folder = tune_settings(config), tmp_path_factory.mktemp("study")
    return request_of("tune", ["dsrna.tune"], settings, config, of_hydra, folder, "again")


def test_a_trial_is_told_after_every_epoch_and_measured_by_what_was_kept(request_):
    told = []
    (value,) = values_of(request_, "trials/0000", {"retrain.noise": "0.2"}, [0, 1], lambda *each: told.append(each))
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4, 5, 6]  # one seed after the other
    by_seed = [[value for _, value in told[:3]], [value for _, value in told[3:]]]
    assert value == pytest.approx(sum(map(max, by_seed)) / 2)  # the best epoch's weights are kept
    folder = RunFolder(request_.folder / "trials/0000/seed1")
    assert list(folder.read_run()["stages"]) == ["retrain"]
    assert "noise: 0.2" in folder.config_yaml.read_text()
    again = []
    assert values_of(request_, "trials/0000", {"retrain.noise": "0.2"}, [0, 1], lambda *each: again.append(each)) == [
        value
    ]
    assert again == []  # it is done


def test_a_trial_that_is_pruned_ends_there_with_its_state_saved(request_):
    def tell(epoch, value):
        if epoch == 2:
            raise PrunedError("behind")

    with pytest.raises(PrunedError):
        values_of(request_, "trials/0001", {"retrain.noise": "0.1"}, [0], tell)
    folder = RunFolder(request_.folder / "trials/0001/seed0")
    assert len([each for each in folder.read_metrics() if each["kind"] == "epoch"]) == 2
    assert folder.last_checkpoint("retrain").exists()


def test_trials_leave_out_what_no_objective_needs_unless_it_is_asked_for(request_):
    settings = request_.settings
    own = trial_overrides(settings.model_copy(update={"overrides": ["search.random_cells=9"]}), {"a": "1"}, 5)
    assert own == ["stages=[retrain]", "retrain.baseline=false", "search.random_cells=9", "a=1", "seed=5"]


def trial(number, state, values, weight, epochs=None):
    return {
        "number": number, "state": state, "parameters": {"metric.weight": weight, "strategy": "snas"}, "values": values,
        "epochs": epochs or {}, "seconds": 3.0, "error": None,
    }  # fmt: skip


@pytest.mark.parametrize("objectives", [["a/val/x"], ["a/val/x", "a/val/y"]])
def test_the_page_shows_trials_importances_front_and_confirmation(request_, tmp_path, objectives):
    measured = [[0.5, 0.1][: len(objectives)], [0.4, 0.3][: len(objectives)]]
    several = len(objectives) > 1
    document = {
        "schema": SCHEMA, "version": VERSION, "name": "gamma", "command": "search", "overrides": ["+experiment=x"],
        "objectives": objectives, "seeds": [0],
        "trials": [
            trial(0, "complete", measured[0], 0.001), trial(1, "complete", measured[1], 1.0),
            trial(2, "pruned", None, 0.2, {"1": 0.25}),
        ],
        "best": [0, 1] if several else [0],
        "importances": [{"metric.weight": 0.75, "strategy": 0.25}] * len(objectives),
        "confirmation": {} if several else {"best": {"values": {}, "seeds": [7, 8], "measured": [0.5, 0.7]}},
    }  # fmt: skip
    folder = RunFolder.create(
        tmp_path / "run", kind="tune", fingerprint="f", config_text="", overrides=[], stages=["report"],
        device="cpu", data=None, command="c", rehearsal=False, choices={},
    )  # fmt: skip
    write_json(folder.study_json, document)
    page = write_study(folder.path).read_text()
    pictures = {path.stem for path in folder.plots_dir.glob("*.png")}
    assert pictures == {"history", "settings", "importances", *(["front"] if several else [])}
    assert page.count("data:image/png") == len(pictures)
    assert "2 complete, 1 pruned" in page
    assert "0 (best)" in page
    assert ("1 (best)" in page) == several
    if not several:
        assert '<td>7, 8</td><td class="number">0.6</td>' in page
        assert "0.1414" in page  # the standard deviation of two values 0.2 apart
