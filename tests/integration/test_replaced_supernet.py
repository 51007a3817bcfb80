"""A search that a schedule continues in another supernet: what follows it looks at that one."""

import torch

from dsrna.run_folder import RunFolder
from dsrna.stages import search as search_stage


def test_selection_and_evidence_see_the_supernet_that_the_search_ended_with(command_line, tmp_path, monkeypatch):
    seen = {}

    def noting(name):
        original = getattr(search_stage, name)

        def run(job, supernet, *rest):
            seen[name] = {key: value.clone() for key, value in supernet.state_dict().items()}
            return original(job, supernet, *rest)

        monkeypatch.setattr(search_stage, name, run)

    for name in ("select_genotype", "weigh_evidence"):
        noting(name)
    outcome = command_line(
        "search", "stages=[search]", "strategy=darts", "metric=none", "search.epochs=2", "search.warmup_epochs=0",
        "search.cells=3", "search.channels=4", "search.batch_size=64", "search.random_cells=2", "data.train_limit=200",
        "search_schedule=[progressive_drnas]", "search_schedule.progressive_drnas.cells=[4]", "trainer=cpu",
        "trainer.progress=off", f"out={tmp_path}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.text
    (folder,) = tmp_path.iterdir()
    state = torch.load(RunFolder.open(folder).last_checkpoint("search"), weights_only=True)["state_dict"]
    ended = {key.removeprefix("model.supernet."): v for key, v in state.items() if key.startswith("model.supernet.")}
    assert any(key.startswith("cells.3.") for key in ended)
    for name, found in seen.items():
        assert found.keys() == ended.keys(), name
        assert all(torch.equal(found[key], value) for key, value in ended.items()), name
