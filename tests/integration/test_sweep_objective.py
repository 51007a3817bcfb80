"""What a run gives a sweep is the number of the weights or alphas that were kept: in run.json, on screen, for Hydra."""

import pytest
import torch
from hydra._internal.hydra import Hydra

from dsrna.run_folder import RunFolder

pytestmark = pytest.mark.slow

TINY = ["trainer=debug", "trainer.limits.epochs=3", "trainer.limits.batches=2", "data.train_limit=160", "space.nodes=1",
        "search.random_cells=0", "retrain.selection_steps=2", "retrain.baseline=false"]  # fmt: skip


@pytest.fixture
def given(monkeypatch):
    """What the jobs of multiruns return, which a sweeper that searches would maximise."""
    returned, multirun = [], Hydra.multirun

    def recording(*arguments, **named):
        batches = multirun(*arguments, **named)
        returned.extend(job.return_value for batch in batches for job in batch)
        return batches

    monkeypatch.setattr(Hydra, "multirun", recording)
    return returned


def of_epochs(folder, key):
    return [record[key] for record in folder.read_metrics() if record.get("kind") == "epoch" and key in record]


def test_a_sweeper_is_given_what_the_runs_note_and_show(command_line, given, tmp_path):
    outcome = command_line("search", "-m", "seed=0,1", *TINY, "stages=[search,retrain]",
                           f"out={tmp_path}")  # fmt: skip
    assert outcome.status == 0, outcome.text
    (sweep,) = tmp_path.iterdir()
    noted = []
    for number in (0, 1):
        folder = RunFolder.open(sweep / str(number))
        objective = folder.read_run()["objective"]
        assert objective["name"] == "retrain/val/acc_adv"
        kept = torch.load(folder.best_checkpoint("retrain"), weights_only=True)["numbers"]
        assert objective["value"] == kept["val/acc_adv"] == of_epochs(folder, "retrain/val/acc_adv")[kept["epoch"]]
        shown = f"retrain/val/acc_adv, on validation images, which sweeps maximise: {100 * objective['value']:.2f} %"
        assert shown in outcome.text
        noted.append(objective["value"])
    assert given == noted
    assert (
        "data digits, threat linf 0.1, recipe digits: search for 3 epochs, 3 cells, 4 channels; adversarial"
        in outcome.text
    )


def test_a_search_alone_gives_its_score_in_the_last_epoch_also_when_it_is_asked_again(command_line, tmp_path):
    typed = [*TINY, "stages=[search]", "search.warmup_epochs=1", f"out={tmp_path}", "resume=auto"]
    outcome = command_line("search", *typed)
    assert outcome.status == 0, outcome.text
    (folder,) = (RunFolder.open(path) for path in tmp_path.iterdir())
    scores = of_epochs(folder, "search/val/score")
    assert len(set(scores)) == len(scores) == 2
    assert folder.read_run()["objective"] == {"name": "search/val/score", "value": scores[-1]}

    again = command_line("search", *typed, "sweep_objective=search/val/acc")  # which changes no result
    assert "finished already" in again.text
    assert folder.read_run()["objective"] == {
        "name": "search/val/acc",
        "value": of_epochs(folder, "search/val/acc")[-1],
    }
