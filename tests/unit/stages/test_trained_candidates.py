"""Candidates are trained by the search's recipe, the same for every cell, and remembered when a run is stopped."""

import math

import pytest
import torch

from dsrna.config.compose import compose
from dsrna.config.objectives import selection_objective
from dsrna.config.validate import validated
from dsrna.data.loader import BatchLoader
from dsrna.data.splits import search_halves
from dsrna.functional.seeding import derive_seed, generator
from dsrna.json_files import read_lines
from dsrna.objectives.fast import FastAdversarial
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages import trained_candidates
from dsrna.stages.evidence import paths_of
from dsrna.stages.job import Job
from dsrna.stages.trained_candidates import TrainedCandidates
from dsrna.strategies.selection.paths import FixedSupernet
from dsrna.training.dashboards.base import Dashboards
from dsrna.types import Threat

SMALL = [
    "trainer=cpu", "trainer.progress=off", "search.cells=1", "search.channels=4", "search.batch_size=40",
    "data.train_limit=300", "space=nasbench201", "strategy=darts", "search.gradient_clip=0.5",
    "optimizer@search.weights_optimizer=sgd", "search.weights_optimizer.lr=0.05",
    "schedule@search.weights_schedule=cosine_steps",
    "objective@search.selection_objective=fast",
]  # fmt: skip


@pytest.fixture
def job(tmp_path):
    settings = validated(compose("search", SMALL))
    folder = RunFolder.create(
        tmp_path / "run", kind="search", fingerprint="f", config_text="", overrides=[], stages=["search"], device="cpu"
    )
    folder.architecture_json.parent.mkdir(exist_ok=True)
    return Job(settings, folder, "f", load_splits(settings), Dashboards())


def fresh(job):
    return job.space.supernet((1, 8, 8), 10, cells=1, channels=4, mean=job.splits.mean, std=job.splits.std)


def candidates_of(job):
    weights_half, architecture_half = search_halves(job.splits, job.settings.seed, 0.5)
    return TrainedCandidates(
        job,
        weights_half,
        fresh(job),
        lambda supernet, images: paths_of(
            job,
            supernet,
            selection_objective(job.settings.search, "architecture", job.threat),
            weights_half,
            architecture_half,
            "selection",
            images,
        ),
        lambda: fresh(job),
        "selection",
    )


def ignore(epochs, loss):
    pass


def by_hand(job, network, epochs, before_step=lambda number: None, batch_norm="running"):
    """The network trained by SGD with momentum .9 on fast adversarial examples, its learning rate half a cosine."""
    half = search_halves(job.splits, 0, 0.5)[0]
    loader = BatchLoader(
        half, 40, seed=0, purpose="selection images", shuffle=True, augmentation=job.augmentation(), drop_last=True
    )
    batches = [batch for epoch in range(epochs) for batch in loader.batches(epoch)]
    assert len(batches) == epochs * (len(half) // 40) > 2
    loss_of, velocity = FastAdversarial(Threat("linf", job.threat.eps), batch_norm=batch_norm), {}
    for number, (x, y) in enumerate(batches):
        before_step(number)
        network.train().zero_grad()
        loss_of(network, x, y, generator(0, "selection noise", number)).loss.backward()
        trained = {name: p for name, p in network.named_parameters() if p.grad is not None}
        norm = torch.stack([p.grad.norm() for p in trained.values()]).norm()
        rate = 0.05 * (1 + math.cos(number / len(batches) * math.pi)) / 2
        with torch.no_grad():
            for name, p in trained.items():
                step = p.grad * (0.5 / (norm + 1e-6)).clamp_max(1) + 5e-4 * p
                velocity[name] = 0.9 * velocity[name] + step if name in velocity else step
                p -= rate * velocity[name]
    return network


def trained_alone(job, genotype, cells, epochs):
    torch.manual_seed(derive_seed(0, "selection weights"))
    network = job.space.network(
        genotype, (1, 8, 8), 10, cells=cells, channels=4, mean=job.splits.mean, std=job.splits.std
    )  # fmt: skip
    return by_hand(job, network, epochs)


def close(one, other):
    return one == pytest.approx(other, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [None, 2])
def test_a_cell_alone_is_trained_as_the_weight_steps_train_and_scored_on_held_out_images(job, cells):
    genotype, candidates = job.space.genotype(9999), candidates_of(job)
    told = []
    score = candidates.alone(genotype, cells, 2, 60, lambda epochs, loss: told.append(epochs))
    assert told == [1, 2]
    paths, (_, held_out) = candidates._paths(fresh(job), 60), search_halves(job.splits, 0, 0.5)
    expected = paths.score(trained_alone(job, genotype, cells or 1, 2))
    assert close(score.loss, expected.loss)
    assert close(score.objective_accuracy, expected.objective_accuracy)
    assert paths.images == 60
    seen = {x.numpy().tobytes() for batch, _ in paths._held_out for x in batch}
    assert seen <= {x.numpy().tobytes() for x in held_out.batch(torch.arange(len(held_out)))[0]}
    assert isinstance(paths._objective, FastAdversarial)


@pytest.mark.slow
def test_together_each_cell_is_trained_once_a_turn_and_no_other_weights(job):
    cells = [job.space.genotype(index) for index in (9999, 13433, 4)]
    paths = candidates_of(job).together(cells, 2, 60, ignore)
    torch.manual_seed(derive_seed(0, "selection weights"))
    network = FixedSupernet(fresh(job), job.space.one_hot(cells[0]))
    orders = [torch.randperm(3, generator=generator(0, "candidates' order", turn)) for turn in range(20)]
    drawn = [int(place) for order in orders for place in order]
    by_hand(job, network, 2, lambda number: network.fix(job.space.one_hot(cells[drawn[number]])), "batch")
    for (name, one), other in zip(paths.supernet.named_parameters(), network.supernet.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)


class StoppedError(Exception):
    pass


def stop_after(count):
    def report(epochs, loss):
        if epochs == count:
            raise StoppedError

    return report


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_bit(job):
    cells = [job.space.genotype(index) for index in (9999, 13433)]
    whole = candidates_of(job).together(cells, 2, 60, ignore)
    (checkpoint,) = job.folder.candidate_checkpoints
    checkpoint.unlink()
    with pytest.raises(StoppedError):
        candidates_of(job).together(cells, 2, 60, stop_after(1))
    told = []
    again = candidates_of(job).together(cells, 2, 60, lambda epochs, loss: told.append(epochs))
    assert told == [1, 2]
    for one, other in zip(whole.supernet.state_dict().values(), again.supernet.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_checkpoint_of_another_training_is_not_taken_for_this_one(job):
    cells = [job.space.genotype(index) for index in (9999, 13433)]
    expected = candidates_of(job).together(cells[::-1], 1, 60, ignore).supernet.state_dict()
    for checkpoint in job.folder.candidate_checkpoints:
        checkpoint.unlink()
    candidates_of(job).together(cells, 1, 60, ignore)  # other cells
    candidates_of(job).together(cells[::-1], 2, 60, ignore)  # more epochs
    found = candidates_of(job).together(cells[::-1], 1, 60, ignore).supernet.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.slow
def test_a_run_that_is_stopped_at_a_cell_alone_does_not_train_them_together_again(job):
    cells = [job.space.genotype(index) for index in (9999, 13433)]
    candidates_of(job).together(cells, 2, 60, ignore)
    with pytest.raises(StoppedError):
        candidates_of(job).alone(cells[0], None, 2, 60, stop_after(1))
    told = []
    candidates_of(job).together(cells, 2, 60, lambda epochs, loss: told.append(epochs))
    assert told == [2]
    candidates_of(job).alone(cells[0], None, 2, 60, lambda epochs, loss: told.append(epochs))
    assert told == [2, 1, 2]


@pytest.mark.slow
def test_what_was_trained_is_remembered_and_another_cell_does_not_depend_on_it(job, monkeypatch):
    first, second = job.space.genotype(9999), job.space.genotype(13433)
    candidates = candidates_of(job)
    scores = [candidates.alone(cell, None, 1, 60, ignore) for cell in (first, second)]
    assert scores[0] != scores[1]
    with monkeypatch.context() as patch:
        patch.setattr(trained_candidates, "train_as_weight_steps", lambda *_: pytest.fail("it was trained before"))
        again = candidates_of(job)
        assert [again.alone(cell, None, 1, 60, ignore) for cell in (second, first)] == scores[::-1]
    lines = [line for _, line in read_lines(job.folder.candidates_jsonl, dict)]
    assert len(lines) == 2
    job.folder.candidates_jsonl.unlink()
    assert candidates_of(job).alone(second, None, 1, 60, ignore) == scores[1]
