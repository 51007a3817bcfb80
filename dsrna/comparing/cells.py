"""Which architecture an origin stands for, once that is known."""

from __future__ import annotations

import json

import torch

from dsrna.comparing.architectures import Architecture, FixedNetwork, description_of
from dsrna.comparing.jobs import Job, Jobs
from dsrna.comparing.plan import Origin, Plan
from dsrna.comparing.random_cells import random_cell
from dsrna.config.fingerprint import hashed
from dsrna.config.parts import build_part, located
from dsrna.data.splits import Splits
from dsrna.functional.seeding import generator
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.stages.consensus import agreed_genotype
from dsrna.stages.inputs import genotype_to_train
from dsrna.strategies.selection.sampling import equal_weights, sampled_cell
from dsrna.training.trained_network import build_network


class Cells:
    """The cells of a plan.

    Args:
        plan: the rows.
        jobs: its jobs; in their folder lie the cells that are trained, and the random ones that were drawn.
        splits: the images, which decide how many parameters a network has.

    Raises:
        GenotypeError: a row names no architecture, or one of another space.
    """

    def __init__(self, plan: Plan, jobs: Jobs, splits: Splits) -> None:
        self._plan, self._jobs, self._splits = plan, jobs, splits
        self._rows = {row.name: row for row in plan.rows}
        self._found: dict[Origin, Architecture] = {}
        for row in plan.rows:
            if row.model is not None:
                arguments = json.dumps(row.model_arguments or {}, sort_keys=True)
                self._found[Origin(row.name, 0)] = FixedNetwork(row.model, arguments)
            if row.source is not None:
                with located("rows"):
                    genotype = genotype_to_train(row.source, self.space(row.name))
                self._found[Origin(row.name, 0)] = genotype.canonical()

    def space(self, row: str) -> SearchSpace:
        """The space of a row's cells."""
        space: SearchSpace = build_part(self._jobs.shared(row).settings.space, "space")
        return space

    def search_before(self, origin: Origin) -> Job | None:
        """A search that must be done before a cell is known; None where it is known."""
        like = self._plan.like(origin)
        if like is not None:
            return self.search_before(like)
        return next((job for job in self.searches(origin) if not job.is_done), None)

    def searches(self, origin: Origin) -> list[Job]:
        """The searches that found a cell; several of a consensus."""
        row = self._rows[origin.row]
        if row.consensus is not None:
            return [self._jobs.search(row.consensus, seed) for seed in self._plan.search_seeds]
        return [self._jobs.search(origin.row, origin.number)] if row.is_searched else []

    def of(self, origin: Origin) -> Architecture:
        """The architecture of an origin whose search is done; the file of a cell is there from now on."""
        if origin not in self._found:
            row = self._rows[origin.row]
            found = self._random(origin) if row.random is not None else self._searched(origin)
            self._found[origin] = found.canonical()
        architecture = self._found[origin]
        if isinstance(architecture, Genotype) and not (file := self._jobs.cell_file(architecture)).exists():
            genotype_codec.save(architecture, file)
        return architecture

    def parameters(self, row: str, architecture: Architecture) -> int:
        """Of the network of a row that is trained."""
        with torch.device("meta"):
            network = build_network(description_of(architecture, self._jobs.shared(row).settings, self._splits))
        return sum(parameter.numel() for parameter in network.parameters())

    def _searched(self, origin: Origin) -> Genotype:
        folders = [job.folder for job in self.searches(origin)]
        return genotype_codec.load(folders[0].genotype_json) if len(folders) == 1 else agreed_genotype(folders)

    def _random(self, origin: Origin) -> Genotype:
        """Drawn by its number alone, and, where it has another's size, by that one; kept, as drawing may take long."""
        space, like = self.space(origin.row), self._plan.like(origin)
        draw = generator(origin.number, "random cell")
        if like is None:
            return sampled_cell(space, equal_weights(space), draw)
        other = self.of(like)
        assert isinstance(other, Genotype), "settings refuse a fixed network"
        network = description_of(other, self._jobs.shared(origin.row).settings, self._splits)
        name = hashed(f"{origin.number} {network}")[:12]
        file = self._jobs.folder / "cells" / f"random{origin.number}_{name}.json"
        if file.exists():
            return genotype_codec.load(file)
        found = random_cell(space, other, lambda cell: self.parameters(origin.row, cell), draw)
        genotype_codec.save(found, file)
        return found
