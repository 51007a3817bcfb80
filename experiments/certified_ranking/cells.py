"""Random cells of the DARTS space on digits: scored early, trained alike, and measured at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from scores import score
from torch import Tensor, nn

from dsrna.attacks.pgd import PGD
from dsrna.bounds.engines import bound_engine
from dsrna.data.digits import load_digits
from dsrna.data.splits import Splits, split
from dsrna.functional.root import bisect_in_log
from dsrna.functional.seeding import derive_seed, generator
from dsrna.nn.modes import evaluation_mode
from dsrna.objectives.base import Objective
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.standard import Standard
from dsrna.progress import Progress
from dsrna.spaces.darts.space import DartsSpace
from dsrna.types import CellWeights, Threat

THREAT = Threat("linf", 0.1)
EPOCHS, SHORT, BATCH = 8, 2, 64
CELLS, CHANNELS = 3, 8
SCORED, CROWN_MEASURED = 64, 32
CROWN_GRID = (1e-8, 1e-7, 1e-6, 1e-5)


def measure_all(path: Path, first: int, count: int, seed: int) -> None:
    """Adds one line a cell to ``path``, leaving alone those that are there."""
    done = {record["cell"] for record in read(path)}
    todo = [cell for cell in range(first, first + count) if cell not in done]
    splits = split(load_digits(), 0.15, seed)
    with Progress("cells", count, done=count - len(todo)) as progress:
        for cell in todo:
            record = measure(cell, seed, splits)
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")
            final = record["final"]["adversarial"]
            progress.advance(1, {"clean": final["clean accuracy"], "pgd": final["accuracy under PGD-20"]})


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(cell: int, seed: int, splits: Splits) -> dict:
    """All about one cell: scores at initialisation and after a short training, and what two full trainings end with."""
    began = time.process_time()
    draw = generator(seed, "cell", cell)
    space = DartsSpace()
    weights = {
        cell_type: CellWeights(torch.rand(len(space.edges(cell_type)), len(space.primitives), generator=draw))
        for cell_type in space.cell_types
    }
    genotype = space.derive(weights)

    def fresh() -> nn.Module:
        torch.manual_seed(derive_seed(seed, "weights", cell))
        return space.network(
            genotype, splits.train.shape, 10, cells=CELLS, channels=CHANNELS, mean=splits.mean, std=splits.std
        )

    x, y = splits.validation.batch(torch.arange(SCORED))
    model = fresh()
    calibrate(model, splits)
    scores = {"initialisation": score(model, x, y, CROWN_GRID)}
    model = fresh()
    short = Standard()
    for epoch in train(model, short, splits, seed):
        if epoch + 1 == SHORT:
            scores["short training"] = score(model, x, y, CROWN_GRID)
    adversarial = fresh()
    for _ in train(adversarial, FastAdversarial(THREAT), splits, seed):
        pass
    final = {"standard": outcome(model, splits, seed), "adversarial": outcome(adversarial, splits, seed)}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    operations = {
        cell_type: [list(map(list, node)) for node in cell_.nodes] for cell_type, cell_ in genotype.cells.items()
    }
    return {
        "cell": cell,
        "seed": seed,
        "genotype": operations,
        "parameters": parameters,
        "scores": scores,
        "final": final,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def calibrate(model: nn.Module, splits: Splits) -> None:
    """Running statistics of the training images, which a fresh network hasn't."""
    model.train()
    with torch.no_grad():
        for start in range(0, 20 * BATCH, BATCH):
            model(splits.train.batch(torch.arange(start, start + BATCH) % len(splits.train))[0])


def train(model: nn.Module, objective: Objective, splits: Splits, seed: int) -> Iterator[int]:
    """Trains, the same way for every cell, and yields after each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    batches = len(splits.train) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=EPOCHS * batches)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(splits.train), generator=generator(seed, "order", epoch))
        for batch in range(batches):
            x, y = splits.train.batch(order[batch * BATCH : (batch + 1) * BATCH])
            model.train()
            loss = objective(model, x, y, generator(seed, "attack", epoch, batch)).loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
        yield epoch


def outcome(model: nn.Module, splits: Splits, seed: int) -> dict[str, float]:
    """What attacks and bounds say of a trained network on the validation images, which it hasn't seen."""
    x, y = splits.validation.batch(torch.arange(len(splits.validation)))
    attacked = PGD(THREAT.norm, THREAT.eps, steps=20)(model, x, y, generator(seed, "evaluation"))
    with evaluation_mode(model), torch.no_grad():
        right, robust = model(x).argmax(1) == y, model(attacked).argmax(1) == y
        radii = certified_radii("ibp", model, x, y) * right
        some = slice(CROWN_MEASURED)
        tighter = certified_radii("crown_ibp", model, x[some], y[some]) * right[some]
    return {
        "clean accuracy": right.double().mean().item(),
        "accuracy under PGD-20": (right & robust).double().mean().item(),
        "mean IBP radius": radii.mean().item(),
        "mean CROWN-IBP radius": tighter.mean().item(),
    }


def certified_radii(engine: str, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(N,) lower ends of brackets of the certified radius, within 8 %."""
    bounds = bound_engine(engine, THREAT.norm)
    low, high = x.new_full((len(x),), 1e-9), x.new_full((len(x),), 1.0)
    return bisect_in_log(lambda radii: bounds(model, x, radii, y).lower.amin(dim=1) >= 0, low, high, 8)[0]
