"""The wheel is complete: it runs from an empty folder, without the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["trainer=debug", "trainer.limits.batches=1", "trainer.limits.test_images=4", "evaluate.eps_curve=[0.1]",
         "space.nodes=1", "search.random_cells=0", "retrain.selection_steps=1", "retrain.baseline=false",
         "trainer.limits.attacks=[pgd20]"]  # fmt: skip


def uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("uv is not here; `make setup` puts it into the environment where it is absent")
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's files alone; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([uv(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    install = [uv(), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", site, wheel]
    subprocess.run(install, check=True)
    return site


def run(installed, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
def test_the_main_job_runs_from_an_empty_folder(installed, tmp_path):
    where = run(installed, tmp_path, "-c", "import dsrna; print(dsrna.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed)
    done = run(installed, tmp_path, "-m", "dsrna.search", *SMALL)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    expected = {"genotype.json", "evaluation.json", "report.html", "retrain"}
    assert expected <= {file.name for file in folder.iterdir()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


@pytest.mark.slow
def test_the_console_script_is_the_packages_main(installed, tmp_path):
    done = run(installed, tmp_path, installed / "bin" / "dsrna", "show", "rank", "n=5")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["n"] == 5


@pytest.mark.slow
def test_every_config_and_template_is_in_the_wheel(installed):
    def names(top: Path, pattern: str) -> set[str]:
        return {str(path.relative_to(top)) for path in top.rglob(pattern)}

    assert names(installed / "dsrna/conf", "*.yaml") == names(ROOT / "conf", "*.yaml")
    assert names(installed / "dsrna/report", "*.html") == names(ROOT / "dsrna/report", "*.html")
    assert (installed / "dsrna/py.typed").exists()
