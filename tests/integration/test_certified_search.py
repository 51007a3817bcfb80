"""A search whose weights and alphas are trained on certified bounds."""

import torch

from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder


def test_it_starts_from_copies_of_channels_and_ranks_cells_by_bounds(command_line, tmp_path):
    outcome = command_line(
        "search", "+experiment=certified_evidence", "objective@search.weights_objective=ibp",
        "objective@search.architecture_objective=ibp", "search.weights_optimizer.lr=1e-9", "search.epochs=2",
        "search.warmup_epochs=0", "search.channels=4", "search.random_cells=2", "space.nodes=1", "data.train_limit=200",
        "trainer=cpu", "trainer.progress=off", f"out={tmp_path}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.text
    (folder,) = tmp_path.iterdir()
    run = RunFolder.open(folder)
    state = torch.load(run.last_checkpoint("search"), weights_only=True)["state_dict"]
    convolutions = [value for key, value in state.items() if "cells." in key and value.ndim == 4]
    convolutions = [w for w in convolutions if w.shape[1] == 1 or w.shape[0] <= w.shape[1]]  # the others widen
    assert len(convolutions) > 10
    for weight in convolutions:  # of each channel, one weight is 1 and the others are noise
        largest = weight.flatten(1).abs().amax(dim=1)
        assert bool(((largest - 1).abs() < 0.2).all())
        assert bool((weight.flatten(1).abs().sum(dim=1) - largest < 0.5).all())
    assert read_json(folder / "search" / "evidence.json")
    record = list(run.read_metrics())[-1]
    assert {"search/train/acc_certified", "search/architecture/acc_certified"} <= set(record)
