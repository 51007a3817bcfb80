"""What a later stage starts from, checked, and brought into its own run folder: every folder is complete by itself."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from dsrna.config.parts import build_part, located
from dsrna.config.settings import Settings
from dsrna.data.splits import Splits
from dsrna.errors import CheckpointError, ConfigError, GenotypeError
from dsrna.files import write_atomically, writing_to
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.genotype_source import existing, read_genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.stages.external import LoadedModel, check_images, described_model, load_model
from dsrna.training.trained_network import Description, NetworkDescription, load_network


@dataclass(frozen=True)
class Inputs:
    """What ``from`` or ``model`` names.

    Attributes:
        genotype: the network's architecture; None where a search is yet to find it.
        networks: stage -> checkpoint of its trained network; empty where they are yet to be trained.
        model: a trained network of somebody else's.
        rehearsal: whether it comes from a run that was a rehearsal.
    """

    genotype: Genotype | None = None
    networks: dict[str, Path] = field(default_factory=dict)
    model: LoadedModel | None = None
    rehearsal: bool = False

    def copy_to(self, folder: RunFolder) -> None:
        """Writes genotype and checkpoints where the stages look for them."""
        with writing_to(folder.path):
            if self.genotype is not None:
                genotype_codec.save(self.genotype, folder.genotype_json)
            for stage, path in self.networks.items():
                _copy(path, folder.best_checkpoint(stage))
            if self.model is not None:
                self.model.save(folder.best_checkpoint("retrain"))
        if self.rehearsal:
            folder.mark_rehearsal()


def read_inputs(first_stage: str, settings: Settings, splits: Splits) -> Inputs:
    """Reads what ``from`` or ``model`` names, without writing anything.

    Args:
        first_stage: the stage that starts from it.
        settings: ``from`` is a run folder, a checkpoint, or what
            :func:`dsrna.spaces.genotype_source.read_genotype` takes, of the settings' space.
        splits: the images that trained networks must fit.

    Raises:
        ConfigError: ``from`` is missing.
        CheckpointError, GenotypeError: what it names is not there or can't be used.
        ConfigError: the model can't be built.
        DataError: the networks were trained on images of another shape or with other classes.
    """
    if first_stage == "search":
        return Inputs()
    if first_stage == "report":
        raise ConfigError("To draw a report again, use `python -m dsrna report RUN_FOLDER`. (conf: stages)")
    source = settings.start_from
    if source is None and settings.model is not None:
        if first_stage == "retrain":
            described_model(settings, splits)
            return Inputs()
        loaded = load_model(settings, splits)
        return Inputs(_genotype_of(loaded.description), model=loaded)
    if source is None:
        choices = "from=genotype.json, or a published name such as from=DARTS_V2"
        raise ConfigError(
            f"The {first_stage} stage needs something to start from: from=RUN_FOLDER, "
            f"{choices if first_stage == 'retrain' else 'or from=best.ckpt'}; or, for a network that isn't dsrna's, "
            "model=torchvision:resnet18, model=MODULE:NAME, model=FILE.onnx, model=FILE.pt2; or, for a published one, "
            "model=FOLDER. (conf: from)"
        )
    space: SearchSpace = build_part(settings.space, "space")
    with located("from"):
        if first_stage == "retrain":
            found = Inputs(genotype_to_train(source, space))
        else:
            found = _read_networks(source, splits, settings.model)
    return replace(found, rehearsal=_of_a_rehearsal(existing(source)))


def genotype_to_train(source: str, space: SearchSpace) -> Genotype:
    """What ``from`` names: of the space, or, where that has no settings of its own, of any space of its kind.

    Raises:
        GenotypeError: there is none, or it is of another space.
    """
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


def _read_networks(source: str, splits: Splits, model: str | None) -> Inputs:
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
        _, description, _ = load_network(checkpoint, model)
        check_images(checkpoint, description, splits)
    return Inputs(_genotype_of(description), found)


def _genotype_of(description: Description) -> Genotype | None:
    return description.read_genotype() if isinstance(description, NetworkDescription) else None


def _of_a_rehearsal(source: Path | None) -> bool:
    """Whether a run folder, or a file in one, is of a rehearsal."""
    near = () if source is None else (source, *source.absolute().parents[:2])
    folders = (RunFolder(path) for path in near)
    return any(folder.is_rehearsal for folder in folders if folder.run_json.is_file())


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as opened:
        write_atomically(target, lambda file: shutil.copyfileobj(opened, file))
