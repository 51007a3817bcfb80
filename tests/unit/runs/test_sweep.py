"""Multiruns under launchers that run jobs here or in processes of their own: what comes back, and how they stop."""

import os
import signal
import sys
import threading
import time
import types

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

from dsrna.config.settings import RunSettings
from dsrna.errors import CheckpointError, DataError
from dsrna.interruption import Interrupted, StopSignals
from dsrna.run_folder import RunFolder
from dsrna.run_lock import held
from dsrna.runs.command import Command
from dsrna.runs.launch import launch
from tests.processes import apart
from tests.thorough import thorough

cloudpickle = pytest.importorskip("cloudpickle", reason="what parallel launchers pickle with; comes with joblib")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # other processes can't import the tests


class ApartLauncher(Launcher):
    """Runs the jobs in other processes at the same time, as the joblib and submitit launchers do."""

    def setup(self, *, hydra_context, task_function, config):
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides, initial_job_idx):
        processes = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            payload = cloudpickle.dumps((self.context, self.task, config, Singleton.get_state()))
            processes.append(apart().Process(target=exec, args=(CHILD, {"payload": payload})))
            processes[-1].start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * len(processes)
        done = JobReturn(status=JobStatus.COMPLETED)
        done.return_value = None
        return [done] * len(processes)


CHILD = """
import pickle
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
context, task, config, state = pickle.loads(payload)
setup_globals()
Singleton.set_state(state)
_ = run_job(hydra_context=context, task_function=task, config=config, job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir").return_value
"""

ApartLauncher.__module__ = "hydra_plugins.apart"  # Hydra takes plugins from there alone


@pytest.fixture(autouse=True, scope="module")
def _apart():
    ConfigStore.instance().store("apart", {"_target_": "hydra_plugins.apart.ApartLauncher"}, group="hydra/launcher")
    Plugins.instance().register(ApartLauncher)
    package, module = types.ModuleType("hydra_plugins"), types.ModuleType("hydra_plugins.apart")
    package.apart, module.ApartLauncher = module, ApartLauncher
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "hydra_plugins", package)
        patch.setitem(sys.modules, "hydra_plugins.apart", module)
        yield


@pytest.fixture
def multirun(monkeypatch, tmp_path):
    """(job, *overrides) -> (what ended it, messages, sweep folder) of a multirun whose jobs are ``job(request)``."""

    def run(job, *overrides):
        out, said = tmp_path / "out", []
        typed = ["rank", "-m", *overrides, f"out={out}", "resume=auto"]
        monkeypatch.setattr(sys, "argv", typed)
        ended = SystemExit(0)
        try:
            launch(Jobs(job), said.append)
        except (SystemExit, Interrupted) as end:
            ended = end
        (folder,) = out.iterdir()
        assert (folder / "table").exists(), "the table is drawn, whatever happened"
        assert not RunFolder(folder).lock.exists()
        return ended, "\n".join(said), folder

    return run


class Jobs(Command):
    """A command whose jobs are ``job(request)``."""

    def __init__(self, job):
        super().__init__("rank", ("rank",), read, "builtins:object")  # the smallest config
        object.__setattr__(self, "run", job)

    def finish_sweep(self, folder):
        (folder / "table").touch()


def read(config):
    return RunSettings(name=config.name, seed=config.seed, resume=config.resume, out=config.out)


def begin(request):
    return RunFolder.create(
        request.folder, kind="search", fingerprint=request.fingerprint, config_text="", overrides=[],
        stages=["search"], device="cpu", command="",
    )  # fmt: skip


def fail(request):
    raise DataError(f"No images for seed {request.settings.seed}.")


def fail_sometimes(request):
    if request.settings.seed == 1:
        begin(request).set_stage("search", "failed")
        fail(request)
    elif not RunFolder(request.folder).run_json.exists():
        begin(request).set_stage("search", "done")


def mend(request):
    RunFolder(request.folder).set_stage("search", "done")


def crash(request):
    begin(request)
    raise ZeroDivisionError("a mistake of ours")


def stop_at_seed_1(request):
    folder = begin(request)
    if request.settings.seed == 1:
        folder.set_stage("search", "interrupted")
        os.kill(os.getpid(), signal.SIGTERM)
    folder.set_stage("search", "done")


def wait_to_be_stopped(request):
    folder = begin(request)
    folder.set_stage("search", "running")
    try:
        with StopSignals(at_once=False) as stop:
            deadline = time.monotonic() + 60
            while not stop.asked and time.monotonic() < deadline:
                time.sleep(0.02)
    except Interrupted:
        folder.set_stage("search", "interrupted")
        raise


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "apart"])
def test_a_multirun_whose_jobs_fail_says_which_and_why(multirun, launcher):
    ended, said, _ = multirun(fail, "seed=0,1", f"hydra/launcher={launcher}")
    assert (type(ended), ended.code) == (SystemExit, 2)
    assert "[error] 2 job(s) failed" in said
    for seed in (0, 1):
        assert f"\n  {seed}: DataError: No images for seed {seed}." in said


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", thorough("apart")])
def test_one_failed_job_is_enough_and_a_second_run_forgets_what_is_mended(multirun, launcher):
    ended, said, folder = multirun(fail_sometimes, "seed=0,1,2", f"hydra/launcher={launcher}")
    assert ended.code == 2
    assert "[error] 1 job(s) failed" in said
    assert "\n  1: DataError" in said
    assert "\n  0:" not in said
    ended, said, again = multirun(mend, "seed=0,1,2", f"hydra/launcher={launcher}")
    assert (ended.code, again) == (0, folder)
    assert "[error]" not in said


@pytest.mark.slow
def test_a_job_that_left_nothing_is_missed(multirun):
    ended, said, _ = multirun(lambda request: None, "seed=0,1")
    assert ended.code == 2
    assert "2 without a run folder" in said


@pytest.mark.slow
def test_a_mistake_of_ours_is_a_failure_too(multirun, capfd):
    ended, said, _ = multirun(crash, "seed=0,1")
    assert ended.code == 1
    assert "0: ZeroDivisionError: a mistake of ours" in said
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.slow
def test_a_signal_ends_the_job_and_no_other_is_started(multirun):
    ended, said, folder = multirun(stop_at_seed_1, "seed=0,1,2,3")
    assert (type(ended), ended.exit_status) == (Interrupted, 143)
    assert "Stopped: 1 of 4 jobs are done. To go on:" in said
    assert "-m seed=0,1,2,3" in said
    assert "[error]" not in said
    assert sorted(path.name for path in folder.glob("[0-9]")) == ["0", "1"]
    ended, _, again = multirun(fail_sometimes, "seed=0,1,2,3")  # it goes on: jobs 2 and 3 are started now
    assert again == folder
    assert sorted(path.name for path in folder.glob("[0-9]")) == ["0", "1", "2", "3"]
    assert ended.code == 2


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["parent", "job"])
def test_jobs_in_other_processes_are_told_to_stop(multirun, tmp_path, whom):
    def signal_when_both_run():
        locks = []
        while len(locks) < 2:
            time.sleep(0.05)
            locks = [path for path in tmp_path.rglob("[01]/run.json") if '"running"' in path.read_text()]
        lock = RunFolder(locks[0].parent).lock.read_text()
        os.kill(
            os.getpid() if whom == "parent" else int(lock.partition('"pid": ')[2].partition(",")[0]), signal.SIGTERM
        )

    threading.Thread(target=signal_when_both_run, daemon=True).start()
    ended, said, folder = multirun(wait_to_be_stopped, "seed=0,1", "hydra/launcher=apart")
    assert ended.exit_status == 143
    assert "Stopped: 0 of 2 jobs" in said
    states = [RunFolder(folder / name).read_run()["stages"]["search"]["state"] for name in "01"]
    assert states == ["interrupted", "interrupted"]
    assert not list(folder.rglob("run.lock"))


@pytest.mark.slow
def test_a_multirun_has_one_living_process(monkeypatch, tmp_path, multirun):
    _, _, folder = multirun(fail_sometimes, "seed=0,2")
    drawn = (folder / "table").stat().st_mtime_ns
    monkeypatch.setattr(sys, "argv", ["rank", "-m", "seed=0,2", f"out={folder.parent}", "resume=auto"])
    with held(folder), pytest.raises(CheckpointError, match=f"in use: process {os.getpid()}"):
        launch(Jobs(fail), print)
    assert (folder / "table").stat().st_mtime_ns == drawn
