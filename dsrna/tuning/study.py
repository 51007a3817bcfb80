"""The study in its database: what was tried by whomever, and what to try next. The only file that imports Optuna."""

from __future__ import annotations

import json
import os
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrna.errors import CheckpointError, ConfigError, MissingPartError
from dsrna.functional.seeding import derive_seed
from dsrna.tuning.settings import TuneSettings

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

STORAGE = "DSRNA_STORAGE"
"""Environment variable with the URL of a database, so that a password stays out of run folders."""
_FILE = "study.db"
_WHAT = "dsrna"


def opened_study(settings: TuneSettings, folder: Path) -> Study:
    """The study of that name, begun or gone on with.

    Raises:
        MissingPartError: Optuna isn't installed, or what speaks to the database.
        ConfigError: the database can't be reached.
        CheckpointError: a study of that name tunes something else.
    """
    optuna = _optuna()
    from sqlalchemy.exc import SQLAlchemyError  # what Optuna speaks to databases by

    url = settings.storage or os.environ.get(STORAGE) or f"sqlite:///{folder / _FILE}"
    try:
        storage = optuna.storages.RDBStorage(url)
        study: Study = optuna.create_study(
            storage=storage,
            study_name=settings.name,
            directions=["maximize"] * len(settings.objectives),
            pruner=_pruner(settings),
            load_if_exists=True,
        )
    except ImportError as error:
        raise MissingPartError(
            f"The database of `storage` needs a package that isn't installed here ({error}); for PostgreSQL: "
            "pip install psycopg2-binary"
        ) from error
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError, ValueError) as error:
        raise ConfigError(f"The database of the study can't be used: {_first_line(error)} (conf: storage)") from error
    what = what_is_tuned(settings)
    noted = study.user_attrs.get(_WHAT)
    if noted is None:
        study.set_user_attr(_WHAT, what)
    elif noted != what:
        differing = ", ".join(key for key in what if noted.get(key) != what[key])
        raise CheckpointError(
            f"The study {settings.name} is of other settings ({differing}): begin another one with name=NAME. "
            "(conf: name)"
        )
    return study


def what_is_tuned(settings: TuneSettings) -> dict[str, Any]:
    """What all trials of a study share; of one with other settings nothing is to be learnt."""
    kept = ("command", "overrides", "ranges", "objectives", "seeds")
    plain: dict[str, Any] = json.loads(json.dumps({key: getattr(settings, key) for key in kept}))
    return plain


def next_trial(study: Study, settings: TuneSettings) -> Trial | None:
    """A trial that nobody has begun; None where the study has as many as it is to have.

    What a trial is doesn't depend on who asks: draws come from the seed and the trial's number.
    """
    done = len(study.get_trials(deepcopy=False))
    if done >= settings.trials:
        return None
    study.sampler = _sampler(settings, derive_seed(settings.seed, "tune", done))
    return study.ask()


def prune(trial: Trial, epoch: int, value: float, settings: TuneSettings) -> bool:
    """Notes what a trial measured after an epoch; whether the trial isn't worth ending."""
    if len(settings.objectives) > 1:
        return False
    trial.report(value, epoch)
    return trial.should_prune()


def unfinished(study: Study) -> list[FrozenTrial]:
    """Trials that somebody has begun."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def gone_on_with(study: Study, trial: FrozenTrial) -> Trial:
    """A trial that was begun by a process that is no more."""
    from optuna import Trial

    return Trial(study, trial._trial_id)


def importances(study: Study, count: int) -> list[dict[str, float]]:
    """Of each objective: setting -> share of the variance that it explains (fANOVA; Hutter, Hoos, Leyton-Brown: *An
    efficient approach for assessing hyperparameter importance*, ICML 2014); empty where too few trials tell.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found = []
    for place in range(count):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(
                    get_param_importances(
                        study, evaluator=FanovaImportanceEvaluator(seed=0), target=partial(_value, place)
                    )
                )
        except (ValueError, RuntimeError):  # one trial, or all alike
            found.append({})
    return found


def _value(place: int, trial: FrozenTrial) -> float:
    return float(trial.values[place])


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingPartError("Tuning needs Optuna, not installed here: pip install 'dsrna[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the run's log tells of trials
    return optuna


def _sampler(settings: TuneSettings, seed: int) -> BaseSampler:
    from optuna import samplers

    seed %= 2**32
    if settings.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if settings.sampler == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=settings.startup)
    if settings.sampler == "nsgaii":
        return samplers.NSGAIISampler(seed=seed, population_size=max(2, settings.startup))
    return samplers.TPESampler(seed=seed, n_startup_trials=settings.startup)


def _pruner(settings: TuneSettings) -> Any:
    from optuna import pruners

    if settings.prunes == "hyperband":
        return pruners.HyperbandPruner()
    if settings.prunes == "median":
        return pruners.MedianPruner(n_startup_trials=settings.startup)
    return pruners.NopPruner()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
