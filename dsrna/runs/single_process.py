"""Launchers that start one command several times at once."""

from __future__ import annotations

import os

from dsrna.errors import ConfigError

COUNTS = {
    "WORLD_SIZE": "torchrun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpiexec",
    # Of the step that runs this process: SLURM_NTASKS is the whole job's, also in a batch script that is one process.
    "SLURM_STEP_NUM_TASKS": "srun",
}
"""Environment variable that says how many processes there are -> what sets it."""


def refuse_several() -> None:
    """Raises ConfigError where this is one of several processes with one command: each would do the same run."""
    for variable, launcher in COUNTS.items():
        count = os.environ.get(variable, "")
        if count.isdigit() and int(count) > 1:
            raise ConfigError(
                f"Expected one process, got {count} ({variable}, as {launcher} sets it): each would do the same run by "
                "itself. Start the command without it, or with one process (torchrun --nproc-per-node=1, mpirun -n 1, "
                f"srun --ntasks=1; of different runs each in a step of its own). If {variable} is left from something "
                "else, unset it."
            )
