"""A trained network of a run as a folder for others: weights, config, model card and pictures of its cells."""

from __future__ import annotations

from pathlib import Path

import torch

from dsrna.config.parts import nearest
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_bytes, write_text, writing_to
from dsrna.report.model_card import Published, evaluation_of, model_card
from dsrna.report.pictures import draw_genotype
from dsrna.report.run_data import RunData
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.training.published_network import About, load_published, save_published
from dsrna.training.trained_network import Description, NetworkDescription, TrainedNetwork, load_network

CARD, GENOTYPE = "README.md", "genotype.json"


def publish(
    source: Path, stage: str | None = None, out: Path | None = None, name: str | None = None, licence: str | None = None
) -> Path:
    """Writes ``model.safetensors``, ``config.json``, ``README.md``, ``genotype.json`` and ``cell_….png``.

    What was written is read back before this returns, and gives the run's logits to the bit.

    Args:
        source: a run folder with a trained network.
        stage: which network of it; None for the first there is.
        out: the folder, new or empty; None for ``published/STAGE`` in the run folder.
        name: the card's title; None for the run's.
        licence: of the weights, an SPDX identifier; None says nothing of it.

    Returns:
        The folder.

    Raises:
        CheckpointError: ``source`` is no run folder, it has no such network, or a file in it is damaged.
        ConfigError: ``out`` holds something already, or can't be written to.
        UnsupportedError: the network is built by code or a file that a folder of values can't hold.
    """
    folder = RunFolder.open(source)
    chosen = stage_of(folder, stage)
    network, description, about = load_network(folder.best_checkpoint(chosen))
    data = RunData.read(folder)
    evaluation = evaluation_of(data, chosen)
    genotype = description.genotype if isinstance(description, NetworkDescription) else None
    pictures = draw_genotype(genotype) if genotype else []
    card = model_card(
        data,
        Published(
            name=name or data.setting("name") or folder.path.resolve().name,
            title=about["title"],
            stage=chosen,
            shape=tuple(description.shape),
            classes=description.classes,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            genotype=genotype,
            pictures={picture.caption: f"{picture.name}.png" for picture in pictures},
            licence=licence,
        ),
    )
    out = folder.path / "published" / chosen if out is None else out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"Expected a new or empty folder, got {out}: choose another one with --out FOLDER.")
    noted = About(
        title=about["title"],
        stage=chosen,
        numbers=about["numbers"],
        class_names=list(evaluation.get("class_names", ())) if evaluation else [],
        data=evaluation["data"] if evaluation else None,
        threat=evaluation["threat"] if evaluation else None,
    )
    with writing_to(out):
        save_published(out, description, network.state_dict(), noted)
        for picture in pictures:
            write_bytes(out / f"{picture.name}.png", picture.content)
        if isinstance(description, NetworkDescription):
            genotype_codec.save(description.read_genotype(), out / GENOTYPE)
        write_text(out / CARD, card)
    _check(out, network, description)
    return out


def stage_of(folder: RunFolder, stage: str | None) -> str:
    """The stage whose network is meant: the one asked for, or the first that has one."""
    there = folder.networks
    if not there:
        raise CheckpointError(f"Expected a trained network in {folder.path}, found none: run its retrain stage.")
    if stage is not None and stage not in there:
        raise CheckpointError(
            f"Expected a network of the stage `{stage}` in {folder.path}, there is none.{nearest(stage, there)} "
            f"Choose --network from: {', '.join(there)}."
        )
    return stage or next(iter(there))


@torch.no_grad()
def _check(out: Path, network: TrainedNetwork, description: Description) -> None:
    images = torch.rand(4, *description.shape, generator=torch.Generator().manual_seed(0))
    if not torch.equal(load_published(out)[0](images), network(images)):
        raise CheckpointError(f"What was written to {out} gives other logits than the run's network: don't publish it.")
