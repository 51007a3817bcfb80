"""Every published search that a row can name, for a few steps: to a genotype."""

import pytest

from dsrna.config.catalog import choices
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec

FEW = [
    *("trainer=debug", "trainer.limits.batches=1", "trainer.limits.epochs=2", "data.train_limit=200", "space.nodes=1"),
    *("search.random_cells=0", "search.cells=3", "search.batch_size=8", "stages=[search]", "name=few"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("search_method"))
def test_it_searches(name, tmp_path, command_line):
    few = [*FEW, *(["selection.candidates=3", "selection.steps=1"] if name in ("random", "robnet") else [])]
    outcome = command_line("search", f"+search_method={name}", *few, f"out={tmp_path}")
    assert outcome.status == 0, outcome.text
    (path,) = tmp_path.iterdir()
    folder = RunFolder.open(path)
    assert genotype_codec.load(folder.genotype_json).space == "darts"
    epochs = read_json(path / "search" / "architecture.json")["epochs"]
    first, last = (epoch["weights"]["normal"]["operations"] for epoch in (epochs[0], epochs[-1]))
    assert (first == last) == (name in ("random", "robnet")), "alphas move where something is learnt"
