"""A config folder of the user's own, on the way from a multirun to what starts from one of its jobs."""

import shlex

import pytest

from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder

pytestmark = pytest.mark.slow

TINY = ["trainer=debug", "trainer.limits.batches=1", "trainer.limits.test_images=4", "trainer.limits.attacks=[fgsm]",
        "evaluate.eps_curve=[]", "retrain.baseline=false", "retrain.selection_steps=1",
        "search.random_cells=0"]  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for group, text in (("data", "source: {_target_: dsrna.data.digits.load_digits}\nroot: null\ndownload: true\n"
                        "validation_fraction: 0.2\ntrain_limit: null\ntest_limit: null\n"
                        "augmentation: {crop_padding: 0, horizontal_flip: false}\n"),
                        ("metric", "defaults: [none]\n")):  # fmt: skip
        (folder / group).mkdir()
        (folder / group / "mine.yaml").write_text(f"# Mine\n{text}")
    return folder


def test_from_a_multirun_to_what_starts_from_one_of_its_jobs(own, command_line, tmp_path):
    flag = ["--config-dir", str(own)]
    sweep = command_line("search", "-m", "metric=glob(m*)", "seed=0,1", "data=mine", *TINY, "stages=[search]", *flag,
                         f"out={tmp_path / 'sweep'}")  # fmt: skip
    assert sweep.status == 0, sweep.text
    (folder,) = (tmp_path / "sweep").iterdir()
    job = RunFolder.open(folder / "1")
    assert job.is_complete
    assert {"metric=mine", "seed=1", "data=mine"} < set(job.read_overrides())
    command = shlex.split(job.read_run()["command"])
    assert f"hydra.searchpath=['file://{own}']" in command, "as it stands, it runs again"

    retrain = [f"from={job.path}", *TINY, "stages=[retrain]", f"out={tmp_path / 'single'}"]
    without = command_line("retrain", *retrain)
    assert without.status == 2
    assert "--config-dir FOLDER" in without.text
    after = command_line("retrain", *retrain, *flag)
    assert after.status == 0, after.text
    (folder,) = (tmp_path / "single").iterdir()
    assert "validation_fraction: 0.2" in RunFolder(folder).config_yaml.read_text()
    assert read_json(folder / "run.json")["stages"]["retrain"]["state"] == "done"
