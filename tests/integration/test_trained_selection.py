"""A whole search whose candidates are trained: on the weights' half, judged on the other one, and on the page."""

import torch

from dsrna.data.splits import search_halves
from dsrna.json_files import read_json
from dsrna.objectives.adversarial import Adversarial
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages import selecting


def pixels(images):
    return {x.numpy().tobytes() for x in images.batch(torch.arange(len(images)))[0]}


def test_candidates_learn_on_one_half_and_are_judged_on_the_other(command_line, tmp_path, monkeypatch):
    seen = {}
    paths_of, candidates = selecting.paths_of, selecting.TrainedCandidates

    def watched_paths(job, supernet, objective, calibration, held_out, purpose, images):
        halves = search_halves(load_splits(job.settings), job.settings.seed, job.settings.search.weights_fraction)
        seen["halves"] = [pixels(half) for half in halves]
        seen["calibration"], seen["held out"] = pixels(calibration), pixels(held_out)
        seen["objective"] = type(objective)
        return paths_of(job, supernet, objective, calibration, held_out, purpose, images)

    def watched_candidates(job, images, *rest):
        seen["learnt"] = pixels(images)
        return candidates(job, images, *rest)

    monkeypatch.setattr(selecting, "paths_of", watched_paths)
    monkeypatch.setattr(selecting, "TrainedCandidates", watched_candidates)
    outcome = command_line(
        "search", "stages=[search,report]", "space=nasbench201", "strategy=pcdarts", "metric=none", "trainer=cpu",
        "search.epochs=1", "search.warmup_epochs=0", "search.cells=1", "search.channels=8", "search.random_cells=0",
        "data.train_limit=200", "selection=trained", "selection.candidates=3", "selection.shared_epochs=1",
        "selection.finalists=2", "selection.epochs=1", "selection.images=50", "trainer.progress=off",
        "objective@search.selection_objective=fast", "objective@search.ranking_objective=pgd", f"out={tmp_path}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.text
    assert seen["learnt"] == seen["calibration"] == seen["halves"][0]
    assert seen["held out"] == seen["halves"][1]
    assert seen["objective"] is Adversarial
    folder = RunFolder.open(next(tmp_path.iterdir()))
    assert folder.candidate_checkpoints == []
    found = folder.read_evidence()["candidates"]
    assert [candidate["alone"] is not None for candidate in found] == [True, True, False]
    assert all(candidate["score"] is not None for candidate in found)
    assert read_json(folder.genotype_json) == found[0]["genotype"]
    page = folder.report_html.read_text()
    assert "trained alone" in page
    assert "fine-tuned</th>" not in page
