"""The notebook in docs/ runs from top to bottom in a Jupyter kernel: small settings behind the words."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "python.ipynb"
SMALL = [
    "trainer=debug",
    "trainer.limits.batches=1",
    "trainer.limits.test_images=4",
    "space.nodes=1",
    "search.random_cells=0",
    "evaluate.eps_curve=[0.1]",
    "retrain.baseline=false",
]


@pytest.mark.slow
@pytest.mark.skipif(not NOTEBOOK.is_file(), reason="docs/ isn't part of the installed package")
def test_every_cell_runs_and_shows_what_it_promises(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('"trainer=debug"', str(SMALL)[1:-1])
    NotebookClient(notebook, timeout=800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [[output.get("data", {}) for output in cell.outputs] for cell in cells]
    run = shown[0][-1]["text/html"]
    assert "<td>PGD-20</td>" in run
    assert "data:image/png;base64," in run
    assert any("Accuracy on the test split" in data.get("text/plain", "") for data in shown[0]), (
        "the command's own table"
    )
    assert shown[1][-1]["text/plain"].startswith("Genotype(space='darts'")
    assert shown[3][-1]["text/plain"].startswith("tensor([")
    assert shown[4][-1]["text/plain"].count("'PGD-20'") == 2
    assert "Did you mean `cifar10_jacobian`" in cells[5].outputs[-1]["text"]
