"""A lone job that is composed already, run by Hydra: with the callbacks, the logging and the environment of its config.

``hydra.main`` would compose the same config twice more, which takes longer than most errors to be found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict, read_write

from dsrna.runs.one_job import OneJob


def run_composed(job: OneJob, task: Callable[[DictConfig], Any]) -> None:
    """What ``hydra.main`` does with a task once it has composed its config.

    Args:
        job: whose config is taken, with Hydra's part of it and the job's folder.
        task: is called with the config.
    """
    config, of_hydra = job.config, job.of_hydra
    with read_write(of_hydra):
        of_hydra.mode = RunMode.RUN
        of_hydra.run.dir = str(job.request.folder)
    with open_dict(config):
        config.hydra = of_hydra
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name=job.command.name)
    context = HydraContext(config_loader=ConfigLoaderImpl(ConfigSearchPathImpl()), callbacks=callbacks)
    done = run_job(task, config, "hydra.run.dir", None, context)
    callbacks.on_run_end(config=config, config_name=job.command.name, job_return=done)
    _ = done.return_value  # raises what the task raised
