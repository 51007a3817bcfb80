"""What a later stage starts from, checked, and brought into its own run folder: every folder is complete by itself."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from dsrna.config.parts import located
from dsrna.data.splits import Splits
from dsrna.errors import CheckpointError, ConfigError, DataError, GenotypeError
from dsrna.files import write_atomically, writing_to
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.genotype_source import existing, read_genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.training.trained_network import load_network


@dataclass(frozen=True)
class Inputs:
    """What ``from`` names.

    Attributes:
        genotype: the network's architecture; None where a search is yet to find it.
        networks: stage -> checkpoint of its trained network; empty where they are yet to be trained.
        rehearsal: whether it comes from a run that was a rehearsal.
    """

    genotype: Genotype | None = None
    networks: dict[str, Path] = field(default_factory=dict)
    rehearsal: bool = False

    def copy_to(self, folder: RunFolder) -> None:
        """Writes genotype and checkpoints where the stages look for them."""
        with writing_to(folder.path):
            if self.genotype is not None:
                genotype_codec.save(self.genotype, folder.genotype_json)
            for stage, path in self.networks.items():
                _copy(path, folder.best_checkpoint(stage))
        if self.rehearsal:
            folder.mark_rehearsal()


def read_inputs(first_stage: str, source: str | None, space: SearchSpace, splits: Splits) -> Inputs:
    """Reads what ``from`` names, without writing anything.

    Args:
        first_stage: the stage that starts from it.
        source: ``from``: a run folder, a checkpoint, or what :func:`dsrna.spaces.genotype_source.read_genotype` takes.
        space: the space that a genotype must be of.
        splits: the images that trained networks must fit.

    Raises:
        ConfigError: ``from`` is missing.
        CheckpointError, GenotypeError: what it names is not there or can't be used.
        DataError: the networks were trained on images of another shape or with other classes.
    """
    if first_stage == "search":
        return Inputs()
    if first_stage == "report":
        raise ConfigError("To draw a report again, use `python -m dsrna report RUN_FOLDER`. (conf: stages)")
    if source is None:
        choices = "from=genotype.json, or a published name such as from=DARTS_V2"
        raise ConfigError(
            f"The {first_stage} stage needs something to start from: from=RUN_FOLDER, "
            f"{choices if first_stage == 'retrain' else 'or from=best.ckpt'}. (conf: from)"
        )
    with located("from"):
        found = Inputs(_read_genotype(source, space)) if first_stage == "retrain" else _read_networks(source, splits)
    return replace(found, rehearsal=_of_a_rehearsal(existing(source)))


def _read_genotype(source: str, space: SearchSpace) -> Genotype:
    path = existing(source)
    if path is not None and path.is_dir():
        path = RunFolder.open(path).genotype_json
        if not path.exists():
            raise GenotypeError(
                f"Expected a genotype.json in {source}: did its search end? Continue it with resume=auto."
            )
        genotype = genotype_codec.load(path)
    else:
        genotype = read_genotype(source)
    if genotype.space != space.name or space.settings:  # one without settings stands for every space of its kind
        space.check(genotype)
    return genotype


def _read_networks(source: str, splits: Splits) -> Inputs:
    path = existing(source)
    if path is not None and path.is_file():
        found = {"retrain": path}
    elif path is not None and path.is_dir():
        folder = RunFolder.open(path)
        found = folder.networks
    else:
        found_there = "nothing" if path is None else "something that is neither"
        raise CheckpointError(f"Expected a run folder or a checkpoint, found {found_there} at {source}.")
    if not found:
        raise CheckpointError(f"Expected a trained network in {source}, found none: run its retrain stage.")
    for checkpoint in found.values():
        _, description, _ = load_network(checkpoint)
        test = splits.test
        if list(test.shape) != description.shape or test.classes != description.classes:
            raise DataError(
                f"Expected images of shape {tuple(description.shape)} in {description.classes} classes for "
                f"{checkpoint}, got {tuple(test.shape)} in {test.classes}: choose the data set it was trained on. "
                "(conf: data)"
            )
    return Inputs(description.read_genotype(), found)


def _of_a_rehearsal(source: Path | None) -> bool:
    """Whether a run folder, or a file in one, is of a rehearsal."""
    near = () if source is None else (source, *source.absolute().parents[:2])
    folders = (RunFolder(path) for path in near)
    return any(folder.is_rehearsal for folder in folders if folder.run_json.is_file())


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as opened:
        write_atomically(target, lambda file: shutil.copyfileobj(opened, file))
