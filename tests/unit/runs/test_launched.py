"""Tasks of a run that Hydra's launchers do: in this process, or in others."""

import os
import signal
import sys
from dataclasses import replace
from functools import partial

import pytest
from hydra.core.plugins import Plugins

from dsrna.config.compose import compose_with_hydra
from dsrna.config.settings import RunSettings
from dsrna.errors import ConfigError, DataError, DsrnaError
from dsrna.interruption import Interrupted
from dsrna.runs.launched import launch_tasks
from dsrna.runs.request import request_of

BASIC = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
JOBLIB = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", "n_jobs": 2}


@pytest.fixture
def request_to(tmp_path):
    """launcher -> a run in a folder whose name Hydra would read as something else."""
    config, of_hydra = compose_with_hydra("rank", ["proxy=[nwot]", "tables=none"])
    settings = RunSettings(name="a", seed=0, resume="auto", out=str(tmp_path))
    folder = tmp_path / "a=b,c"
    made = request_of("rank", ["dsrna.rank"], settings, config, of_hydra, folder, "again")
    assert made.launcher is None, "Hydra's default stands for no launcher"

    return lambda launcher: replace(made, launcher=launcher)


def note(folder):
    (folder / "done").write_text(str(os.getpid()))


def fail():
    raise DataError("There are no images.")


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def test_each_task_is_a_job_of_the_launcher_in_its_folder_and_failures_come_back(request_to):
    request = request_to(BASIC)
    tasks = {f"tasks/{name}": partial(note, request.folder / "tasks" / name) for name in ("1", "x=y")}
    failures = launch_tasks(request, {**tasks, "tasks/broken": fail})
    assert failures == {"tasks/broken": "There are no images."}
    assert len(list(request.folder.glob("tasks/*/done"))) == 2


def test_by_joblib_tasks_are_done_in_other_processes(request_to):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher")
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    request = request_to(JOBLIB)
    tasks = {name: partial(note, request.folder / name) for name in ("a", "b")}
    assert launch_tasks(request, {**tasks, "c": fail}) == {"c": "There are no images."}
    done = {int(path.read_text()) for path in request.folder.glob("*/done")}
    assert done
    assert os.getpid() not in done


def test_after_a_signal_no_further_task_is_begun_until_the_next_time(request_to):
    request = request_to(BASIC)
    tasks = {"a": partial(note, request.folder / "a"), "b": stop, "c": partial(note, request.folder / "c")}
    with pytest.raises(Interrupted):
        launch_tasks(request, tasks)
    assert (request.folder / "a" / "done").exists()
    assert not (request.folder / "c" / "done").exists()
    assert launch_tasks(request, {"c": tasks["c"]}) == {}
    assert (request.folder / "c" / "done").exists()


def test_a_launcher_that_loses_jobs_is_named(request_to, monkeypatch):
    def lost(launcher, job_overrides, initial_job_idx):
        raise OSError("job 3 was killed")

    monkeypatch.setattr(Plugins.instance().class_name_to_class[BASIC["_target_"]], "launch", lost)
    with pytest.raises(DsrnaError, match=r"BasicLauncher didn't come back .*job 3 was killed.*goes on"):
        launch_tasks(request_to(BASIC), {"a": fail})


def test_a_launcher_that_is_not_there_is_named(request_to):
    with pytest.raises(ConfigError, match=r"NoLauncher.*\(conf: hydra/launcher\)"):
        launch_tasks(request_to({"_target_": "hydra_plugins.none.NoLauncher"}), {"a": fail})
