"""What a search writes down about itself: of which images, and the same again."""

import logging
from dataclasses import asdict

import pytest
import torch

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.data.splits import search_halves
from dsrna.files import write_json
from dsrna.functional.seeding import generator
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages import evidence
from dsrna.stages.job import Job
from dsrna.stages.trained_candidates import TrainedCandidates
from dsrna.strategies.selection.paths import recalibrate
from dsrna.strategies.selection.sampling import distinct_cells, equal_weights
from dsrna.training.architecture_history import ArchitectureHistory
from dsrna.training.dashboards.base import Dashboards
from dsrna.types import CellWeights

SMALL = [
    "trainer=cpu", "trainer.progress=off", "search.cells=1", "search.channels=4", "data.train_limit=300",
    "space=nasbench201", "strategy=darts",
]  # fmt: skip


WEIGHTS = {"cell": CellWeights(torch.rand(6, 5, generator=torch.Generator().manual_seed(3)).softmax(1))}


@pytest.fixture(scope="module")
def splits():
    return load_splits(validated(compose("search", SMALL)))


def job_of(path, splits, *overrides, cells=20):
    settings = validated(compose("search", [*SMALL, f"search.random_cells={cells}", *overrides]))
    folder = RunFolder.create(
        path, kind="search", fingerprint="f", config_text="", overrides=[], stages=["search"], device="cpu"
    )
    job = Job(settings, folder, "f", splits, Dashboards())
    history = ArchitectureHistory(job.space)
    history.add(0, equal_weights(job.space))
    write_json(folder.architecture_json, history.to_json())
    return job


def supernet_of(job, seed=0):
    torch.manual_seed(seed)
    return job.space.supernet((1, 8, 8), 10, cells=1, channels=4)


def weigh(job, splits):
    half, _ = search_halves(splits, job.settings.seed, 0.5)
    evidence.weigh_evidence(
        job, supernet_of(job), WEIGHTS, job.space.genotype(13433), half, lambda: supernet_of(job, seed=1)
    )
    return read_json(job.folder.evidence_json)


@pytest.mark.slow
def test_the_mixture_is_scored_under_the_weights_that_the_search_ended_with(tmp_path, splits):
    job = job_of(tmp_path / "a", splits, cells=2)
    found = weigh(job, splits)["random_cells"]
    half, _ = search_halves(splits, 0, 0.5)
    paths = evidence.paths_of(
        job, supernet_of(job), evidence.path_objective(job), half, splits.validation, "comparison with random cells"
    )
    (x, y), *rest = paths._held_out
    supernet = supernet_of(job).train()
    recalibrate(supernet_as_network := Fixed(supernet), paths._calibration)
    supernet_as_network.eval()
    with torch.no_grad():
        right = sum(int((supernet_as_network(x).argmax(1) == y).sum()) for x, y in [(x, y), *rest])
    assert found["mixture"]["accuracy"] == pytest.approx(right / paths.images)
    assert found["classes"] == 10


class Fixed(torch.nn.Module):
    def __init__(self, supernet):
        super().__init__()
        self.supernet = supernet

    def forward(self, x):
        return self.supernet(x, WEIGHTS)


def pixels(images):
    return {x.numpy().tobytes() for x in images.batch(torch.arange(len(images)))[0]}


@pytest.mark.slow
def test_it_is_of_validation_images_calibrated_on_training_images_and_the_same_again(
    tmp_path, splits, images_of_paths, caplog
):
    seen = images_of_paths
    with caplog.at_level(logging.INFO, logger="dsrna"):
        first = weigh(job_of(tmp_path / "a", splits), splits)
    half, _ = search_halves(splits, 0, 0.5)
    ((calibration, held_out),) = seen
    assert calibration <= pixels(half)
    assert held_out == pixels(splits.validation)
    assert not held_out & pixels(splits.test)
    found = first["random_cells"]
    assert (found["images"], len(found["random"]), found["decides"]) == (len(splits.validation), 20, "accuracy")
    worse = sum(score["accuracy"] < found["derived"]["accuracy"] for score in found["random"])
    assert found["accuracy"]["rank"] == 21 - worse
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    expected = "Not distinguishable from a random cell" if found["accuracy"]["verdict"] == "indistinguishable" else ""
    assert any(expected in message for message in warnings)
    assert any("where 1 is all equal" in record.getMessage() for record in caplog.records)
    assert weigh(job_of(tmp_path / "b", splits), splits) == first


@pytest.mark.slow
def test_an_adversarial_search_is_judged_under_its_attack(tmp_path, splits):
    job = job_of(tmp_path / "a", splits, "objective@search.architecture_objective=fast", "threat.eps=0.3")
    found = weigh(job, splits)["random_cells"]
    assert found["decides"] == "objective_accuracy"
    assert found["objective_accuracy"]["count"] == 20
    scores = [found["derived"], *found["random"]]
    assert sum(score["objective_accuracy"] for score in scores) < sum(score["accuracy"] for score in scores)


@pytest.mark.slow
def test_it_can_be_switched_off(tmp_path, splits):
    found = weigh(job_of(tmp_path / "a", splits, cells=0), splits)
    assert (found["random_cells"], found["left_out"]) == (None, None)
    assert found["movement"]["entropy"] == pytest.approx(1.0)


@pytest.mark.slow
def test_cells_may_be_compared_in_a_new_supernet_that_is_trained_on_all_of_them(tmp_path, splits, caplog):
    job = job_of(tmp_path / "a", splits, "search.comparison_epochs=2", cells=20)
    with caplog.at_level(logging.INFO, logger="dsrna"):
        found = weigh(job, splits)["random_cells"]
    half, _ = search_halves(splits, 0, 0.5)
    cells = [
        job.space.genotype(13433),
        *distinct_cells(
            job.space, equal_weights(job.space), 20, generator(0, "random cells"), but=[job.space.genotype(13433)]
        ),
    ]
    other = job_of(tmp_path / "b", splits)
    paths = TrainedCandidates(
        other,
        half,
        supernet_of(other),
        lambda supernet, images: evidence.paths_of(
            other, supernet, evidence.path_objective(other), half, splits.validation, "comparison with random cells"
        ),
        lambda: supernet_of(other, seed=1),
        "comparison",
    ).together(cells, 2, 512, lambda epochs, loss: None)
    scores = [paths.score_of(cell) for cell in cells]
    assert found["comparison_epochs"] == 2
    assert [found["derived"], *found["random"]] == [asdict(score) for score in scores]
    assert paths.images == len(splits.validation)
    text = " ".join(record.getMessage() for record in caplog.records)
    assert "a new supernet that was trained on these cells in turn, for 2 epochs" in text
    assert "tells little" not in text
