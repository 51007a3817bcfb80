"""A cell that is trained alone: the search's recipe, the same for every cell, remembered when a run is stopped."""

import pytest
import torch

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.data.loader import BatchLoader
from dsrna.data.splits import search_halves
from dsrna.functional.seeding import derive_seed, generator
from dsrna.json_files import read_lines
from dsrna.objectives.fast import FastAdversarial
from dsrna.pipeline.evidence import paths_of
from dsrna.pipeline.job import Job, load_splits
from dsrna.pipeline.trained_alone import TrainedAlone
from dsrna.run_folder import RunFolder
from dsrna.training.dashboards import Dashboard
from dsrna.types import Threat

SMALL = [
    "trainer=cpu", "trainer.progress=off", "search.cells=1", "search.channels=4", "search.batch_size=40",
    "data.train_limit=300", "space=nasbench201", "strategy=darts", "search.gradient_clip=0.5",
    "optimizer@search.weights_optimizer=sgd", "search.weights_optimizer.lr=0.05",
    "schedule@search.weights_schedule=cosine_steps",
    "objective@search.weights_objective=fast", "objective@search.architecture_objective=fast",
]  # fmt: skip


@pytest.fixture
def job(tmp_path):
    settings = validated(compose("search", SMALL))
    folder = RunFolder.create(
        tmp_path / "run", kind="search", fingerprint="f", config_text="", overrides=[], stages=["search"], device="cpu"
    )
    folder.architecture_json.parent.mkdir(exist_ok=True)
    return Job(settings, folder, "f", load_splits(settings), Dashboard(settings.logger, tmp_path, "x", {}, "f"))


def alone_of(job):
    weights_half, architecture_half = search_halves(job.splits, job.settings.seed, 0.5)
    supernet = job.space.supernet((1, 8, 8), 10, cells=1, channels=4)
    return TrainedAlone(
        job,
        weights_half,
        lambda images: paths_of(job, supernet, weights_half, architecture_half, "selection", images),
    )


def test_it_is_trained_as_the_weight_steps_train(job):
    genotype, half = job.space.genotype(9999), search_halves(job.splits, 0, 0.5)[0]
    found = alone_of(job).network(genotype, epochs=2)
    torch.manual_seed(derive_seed(0, "selection weights"))
    by_hand = job.space.network(
        genotype, (1, 8, 8), 10, cells=1, channels=4, mean=job.splits.mean, std=job.splits.std
    ).train()
    loader = BatchLoader(
        half, 40, seed=0, purpose="selection images", shuffle=True, augmentation=job.augmentation(), drop_last=True
    )
    batches = [batch for epoch in (0, 1) for batch in loader.batches(epoch)]
    loss_of = FastAdversarial(Threat("linf", job.threat.eps))
    velocity = [torch.zeros_like(p) for p in by_hand.parameters()]
    for number, (x, y) in enumerate(batches):
        gradients = torch.autograd.grad(
            loss_of(by_hand, x, y, generator(0, "selection noise", number)).loss, list(by_hand.parameters())
        )
        norm = torch.stack([g.norm() for g in gradients]).norm()
        rate = 0.05 * (1 + torch.cos(torch.tensor(number / len(batches) * torch.pi))) / 2
        with torch.no_grad():
            for p, v, g in zip(by_hand.parameters(), velocity, gradients, strict=True):
                v.mul_(0.9).add_(g * (0.5 / (norm + 1e-6)).clamp_max(1) + 5e-4 * p)
                p -= rate * v
    assert len(batches) == 2 * (len(half) // 40) > 2
    for (name, one), other in zip(found.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)


def test_a_score_is_of_held_out_images_under_the_objectives_attack(job):
    alone, genotype = alone_of(job), job.space.genotype(9999)
    score = alone(genotype, 1, 60)
    network, (_, held_out) = alone.network(genotype, 1), search_halves(job.splits, 0, 0.5)
    paths = alone._paths(60)
    assert score == paths.score(network)
    assert paths.images == 60
    seen = {x.numpy().tobytes() for batch, _ in paths._held_out for x in batch}
    assert seen <= {x.numpy().tobytes() for x in held_out.batch(torch.arange(len(held_out)))[0]}
    assert score.objective_accuracy < score.accuracy
    assert isinstance(paths._objective, FastAdversarial)


def test_what_was_trained_is_remembered_and_another_cell_does_not_depend_on_it(job, monkeypatch):
    first, second = job.space.genotype(9999), job.space.genotype(13433)
    alone = alone_of(job)
    scores = [alone(first, 1, 60), alone(second, 1, 60)]
    assert scores[0] != scores[1]
    with monkeypatch.context() as patch:
        patch.setattr(TrainedAlone, "network", lambda *_: pytest.fail("it was trained before"))
        again = alone_of(job)
        assert [again(second, 1, 60), again(first, 1, 60)] == scores[::-1]
    lines = [line for _, line in read_lines(job.folder.candidates_jsonl, dict)]
    assert len(lines) == 2
    job.folder.candidates_jsonl.unlink()
    assert alone_of(job)(second, 1, 60) == scores[1]
