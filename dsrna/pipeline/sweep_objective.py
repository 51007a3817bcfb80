"""The number of a run that sweeps maximise: read from what its stage left, and noted in ``run.json``."""

from __future__ import annotations

from dsrna.errors import CheckpointError
from dsrna.run_folder import RunFolder
from dsrna.training.checkpoints import load_checkpoint


def note_objective(folder: RunFolder, key: str) -> float:
    """Notes the value of a logged key: of a search in its last epoch, whose alphas give the genotype; of a training in
    the epoch whose weights were kept.

    Raises:
        CheckpointError: the stage has not measured it.
    """
    stage, _, name = key.partition("/")
    if stage == "search":
        values = [record[key] for record in folder.read_metrics() if record.get(key) is not None]
        value = values[-1] if values else None
    else:
        value = load_checkpoint(folder.best_checkpoint(stage))["numbers"].get(name)
    if value is None:
        raise CheckpointError(f"Expected {key} among the numbers of {folder.path}, found none. (conf: sweep_objective)")
    folder.set_objective(key, float(value))
    return float(value)
