"""A selection in the pipeline: of which images, with which objective, and the same again after an interruption."""

import copy

import pytest
import torch

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.data.splits import search_halves
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages import evidence
from dsrna.stages.job import Job
from dsrna.stages.selecting import plain, select_genotype
from dsrna.strategies.selection.sampling import equal_weights
from dsrna.training.dashboards.base import Dashboards

SMALL = [
    "trainer=cpu", "trainer.progress=off", "search.cells=1", "search.channels=4", "data.train_limit=300",
    "space=nasbench201", "strategy=darts", "search.batch_size=32", "selection=perturbation", "selection.steps=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def setting():
    settings = validated(compose("search", SMALL))
    return settings, load_splits(settings)


def job_of(path, setting):
    settings, splits = setting
    folder = RunFolder.create(
        path, kind="search", fingerprint="f", config_text="", overrides=[], stages=["search"], device="cpu"
    )
    return Job(settings, folder, "f", splits, Dashboards())


@pytest.mark.slow
def test_it_is_of_search_images_alone_and_the_same_again(tmp_path, setting, images_of_paths):
    seen = images_of_paths
    job = job_of(tmp_path / "a", setting)
    halves = search_halves(setting[1], job.settings.seed, 0.5)
    torch.manual_seed(0)
    supernet = job.space.supernet((1, 8, 8), 10, cells=1, channels=4)
    again, weights = copy.deepcopy(supernet), equal_weights(job.space)

    def select(job, supernet):
        return select_genotype(job, supernet, weights, *halves, lambda: pytest.fail("nothing is trained anew"))

    first = select(job, supernet)
    of_weights, of_architecture = ({x.numpy().tobytes() for x in h.batch(torch.arange(len(h)))[0]} for h in halves)
    ((calibration, held_out),) = seen
    assert calibration <= of_weights
    assert held_out <= of_architecture
    torch.rand(5)  # elsewhere in the stream of global random numbers, as a process is that goes on from a checkpoint
    assert select(job_of(tmp_path / "b", setting), again) == first
    written = plain(first)
    assert written["candidates"] == []
    assert [decision["kept"][0] in decision["without"] for decision in written["decisions"]] == [True] * 6
    kept = [decision | {"kept": list(decision["kept"])} for decision in written["decisions"]]
    evidence.write_json(job.folder.evidence_json, written)
    assert read_json(job.folder.evidence_json) == {"candidates": [], "decisions": kept}
