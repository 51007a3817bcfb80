"""torchrun and its like would do the same run several times without a word."""

import pytest

from dsrna.errors import ConfigError
from dsrna.runs.single_process import COUNTS, refuse_several


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for variable in COUNTS:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("variable", COUNTS)
def test_several_processes_are_refused_before_any_work(variable, monkeypatch, command_line, tmp_path):
    monkeypatch.setenv(variable, "2")
    monkeypatch.setattr("dsrna.runs.launch.one_job", lambda *_: pytest.fail("began"))
    for kind in ("search", "rank", "query"):
        outcome = command_line(kind, f"out={tmp_path / 'runs'}")
        assert outcome.status == 2
        assert f"got 2 ({variable}" in outcome.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", ["1", "", "x"])
def test_one_process_is_not_refused(count, monkeypatch):
    for variable in COUNTS:
        monkeypatch.setenv(variable, count)
    refuse_several()


def test_a_batch_script_of_a_job_with_several_tasks_is_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    refuse_several()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ConfigError, match="srun --ntasks=1"):
        refuse_several()
