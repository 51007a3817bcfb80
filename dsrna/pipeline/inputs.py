"""Bringing what a later stage starts from into its own run folder, so that every folder is complete by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from dsrna.errors import CheckpointError, ConfigError, GenotypeError
from dsrna.files import write_atomically
from dsrna.pipeline.evaluate_stage import NETWORKS
from dsrna.pipeline.job import Job
from dsrna.pipeline.trained_network import load_network
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import published


def bring_inputs(job: Job, first_stage: str) -> None:
    """Copies the genotype or the trained networks that ``from`` names, checked, before any long work.

    Raises:
        ConfigError: ``from`` is missing or names nothing that is there.
        CheckpointError, GenotypeError: what it names can't be used.
    """
    source = job.settings.start_from
    if first_stage == "search":
        return
    if source is None:
        raise ConfigError(
            f"The {first_stage} stage needs something to start from: from=RUN_FOLDER"
            + (
                ", from=genotype.json or a published name such as from=DARTS_V2."
                if first_stage == "retrain"
                else " or from=best.ckpt."
            )
        )
    if first_stage == "retrain":
        _bring_genotype(job, source)
    elif first_stage == "evaluate":
        _bring_networks(job, Path(source))
    else:
        raise ConfigError("To draw a report again, use `python -m dsrna report RUN_FOLDER`.")


def _bring_genotype(job: Job, source: str) -> None:
    path = Path(source)
    if path.is_dir():
        path = RunFolder.open(path).genotype_json
        if not path.exists():
            raise GenotypeError(
                f"Expected a genotype.json in {source}: did its search end? Continue it with resume=auto."
            )
    genotype = genotype_codec.load(path, job.space) if path.exists() or path.suffix else published(source)
    job.space.check(genotype)
    genotype_codec.save(genotype, job.folder.genotype_json)


def _bring_networks(job: Job, source: Path) -> None:
    if source.is_file():
        found = {"retrain": source}
    elif source.is_dir():
        folder = RunFolder.open(source)
        found = {stage: folder.best_checkpoint(stage) for stage in NETWORKS if folder.best_checkpoint(stage).exists()}
    else:
        raise CheckpointError(f"Expected a run folder or a checkpoint, found nothing at {source}. (conf: from)")
    if not found:
        raise CheckpointError(
            f"Expected a trained network in {source}, found none: run its retrain stage. (conf: from)"
        )
    for stage, path in found.items():
        _, description, _ = load_network(path)
        genotype_codec.save(description.read_genotype(), job.folder.genotype_json)
        _copy(path, job.folder.best_checkpoint(stage))


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as opened:
        write_atomically(target, lambda file: shutil.copyfileobj(opened, file))
