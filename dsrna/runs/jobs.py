"""The jobs of a multirun, from the config and the sweeper that Hydra will use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import HydraException

from dsrna.config.catalog import is_searchpath
from dsrna.config.command_line import parsed
from dsrna.config.compose import compose_multirun, key_of
from dsrna.config.explain import unreadable
from dsrna.errors import ConfigError

_BASIC = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


@dataclass(frozen=True)
class Jobs:
    """What a multirun will do.

    Attributes:
        overrides: those of each job.
        may_be_compared: whether a sweeper runs them that may maximise what they return. It makes its own jobs as it
            goes: here stand those of the choices that are known before, with both ends of an interval.
    """

    overrides: list[list[str]]
    may_be_compared: bool


def jobs_of(entry: str, overrides: Sequence[str]) -> Jobs:
    """The jobs of a multirun.

    >>> jobs_of("rank", ["data=mnist,digits", "seed=0"]).overrides
    [['data=mnist', 'seed=0'], ['data=digits', 'seed=0']]

    Raises:
        ConfigError: what is the same for all jobs can't be composed, or the sweeper doesn't know such a sweep.
    """
    read = parsed(overrides)
    node = compose_multirun(entry, list(overrides))[0].hydra.sweeper
    is_basic = node.get("_target_") == _BASIC
    try:
        if is_basic:
            read = [*parsed([f"{key}={value}" for key, value in (node.params or {}).items()]), *read]
        else:
            read = parsed(_with_ends(overrides))
        batches = BasicSweeper.split_arguments(read, max_batch_size=None)
    except HydraException as error:
        raise ConfigError(unreadable(error)) from error
    jobs = [list(job) for batch in batches for job in batch]
    kept = [[entry for entry in job if key_of(entry).split(".")[0] != "hydra" or is_searchpath(entry)] for job in jobs]
    return Jobs(kept, may_be_compared=not is_basic)


def _with_ends(overrides: Sequence[str]) -> list[str]:
    replaced = []
    for override, read in zip(overrides, parsed(overrides), strict=True):
        interval = None if read.is_delete() else read.value()
        if isinstance(interval, IntervalSweep):
            override = f"{read.get_key_element()}={interval.start},{interval.end}"
        replaced.append(override)
    return replaced
