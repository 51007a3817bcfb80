"""Tasks of a run as jobs of a Hydra launcher: in other processes, or on other machines that see the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from dsrna.config.command_line import quoted
from dsrna.config.compose import compose_multirun
from dsrna.errors import ConfigError, DsrnaError
from dsrna.interruption import Interrupted, StopSignals
from dsrna.runs.request import Request
from dsrna.runs.sweep import Sweep

Task = Callable[[], None]


def launch_tasks(request: Request[Any], tasks: Mapping[str, Task], before: int = 0) -> dict[str, str]:
    """Has the request's launcher do tasks, as many at once as it likes, and waits for all of them.

    A signal starts no further task and tells those on this machine to stop; each of them saves its state. Tasks and
    this process share files alone.

    Args:
        request: the run, with a launcher.
        tasks: folder of a task, in that of the run -> what is done for it; can be pickled.
        before: how many tasks the launcher had before.

    Returns:
        Task -> why it failed, of those that did so by a DsrnaError.

    Raises:
        ConfigError: there is no such launcher.
        DsrnaError: the launcher didn't come back from all of them.
        Interrupted: a signal came, here or to a task.
    """
    sweep = Sweep(request.folder.absolute())
    own = {"hydra.sweep.dir": str(sweep.path), "hydra.job.name": request.folder.name}
    overrides = [f"{key}={quoted(value)}" for key, value in own.items()]
    config, loader = compose_multirun(request.kind, [*request.config_folders, *overrides])
    with open_dict(config):
        config.hydra.launcher = request.launcher
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    name = str((request.launcher or {}).get("_target_")).rpartition(".")[2]
    try:
        launcher = Plugins.instance().instantiate_launcher(context, _OneOf(sweep, tasks), config)
    except (ImportError, RuntimeError, HydraException) as error:
        raise ConfigError(f"Hydra can't start the launcher {name}: {error} (conf: hydra/launcher)") from error
    jobs = [[f"hydra.sweep.subdir={quoted(task)}"] for task in tasks]
    stop = partial(sweep.stop, jobs=[sweep.path / task for task in tasks])
    sweep.begin()
    with StopSignals(at_once=False, on_ask=stop):
        try:
            returned = launcher.launch(jobs, initial_job_idx=before)
        except Exception as error:
            raise DsrnaError(
                f"{name} didn't come back from all its jobs: {type(error).__name__}: {error}. What is done is kept; "
                "the same command goes on."
            ) from error
    if sweep.stopped_by is not None:  # by a signal to a task
        raise Interrupted(sweep.stopped_by)
    failures = zip(tasks, [job.return_value for job in returned], strict=True)
    return {task: failure for task, failure in failures if failure is not None}


@dataclass(frozen=True)
class _OneOf:
    """What the launcher calls for each job: the task whose folder Hydra was told is the job's."""

    sweep: Sweep
    tasks: Mapping[str, Task]

    def __call__(self, config: DictConfig) -> str | None:
        if self.sweep.stopped_by is not None:
            return None
        try:
            with StopSignals(at_once=True):
                self.tasks[HydraConfig.get().sweep.subdir]()
        except DsrnaError as error:
            return str(error)
        except Interrupted as stopped:
            self.sweep.stop(stopped.number, [self.sweep.path / task for task in self.tasks])
        return None
