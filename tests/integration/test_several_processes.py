"""Two processes that share every batch train what one process trains, and one goes on where they stopped.

The leader is this process, whose hooks tests may change; the other is a true one.
"""

import signal

import pytest
import torch

import dsrna
from dsrna.distributed import group
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.training.checkpoints import load_checkpoint
from dsrna.training.search_module import SearchModule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# float64 and a common BatchNorm: what differs then is the order of sums.
SMALL = [
    "trainer=debug", "trainer.precision=64-true", "trainer.sync_batchnorm=true", "trainer.limits.batches=2",
    "trainer.limits.epochs=2", "trainer.limits.batch_size=8", "trainer.limits.channels=2", "space.nodes=1",
    "trainer.checkpoint_minutes=1e-9", "search.random_cells=0", "search.warmup_epochs=0",
    "data.train_limit=160", "retrain.baseline=false", "retrain.drop_path=0.3",
]  # fmt: skip
SEARCH = ["stages=[search]", "hypergradient=unrolled", "regulariser=[operation_dropout]"]


def run_of(folder, *overrides):
    return dsrna.search(None, [*SMALL, f"out={folder}", *overrides])


def weights_of(run, stage):
    return load_checkpoint(RunFolder(run.path).last_checkpoint(stage))["state_dict"]


def records_of(run):
    return [
        {key: value for key, value in record.items() if isinstance(value, float) and not key.endswith("seconds")}
        for record in RunFolder(run.path).read_metrics()
    ]


def assert_same_training(first, second, stage):
    ours, others = weights_of(first, stage), weights_of(second, stage)
    assert ours.keys() == others.keys()
    for name in ours:
        assert torch.allclose(ours[name].double(), others[name].double(), rtol=1e-6, atol=1e-8), name


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Search, and TRADES training with drop-path, in one process."""
    return run_of(tmp_path_factory.mktemp("alone"), "stages=[search,retrain]", "objective=trades", *SEARCH[1:])


def test_two_processes_train_what_one_does(alone, tmp_path):
    both = run_of(tmp_path, "stages=[search,retrain]", "objective=trades", *SEARCH[1:], "trainer.devices=2")
    for stage in ("search", "retrain"):
        assert_same_training(alone, both, stage)
    for ours, others in zip(records_of(alone), records_of(both), strict=True):
        assert ours == pytest.approx(others, rel=1e-5, abs=1e-7)
    assert (both.path / "processes" / "1.log").read_text() == ""
    assert not torch.distributed.is_initialized()
    assert group.size() == 1


def test_one_process_goes_on_where_two_were_stopped(alone, tmp_path, monkeypatch):
    noted = SearchModule._note

    def stop_once(module, *arguments):
        noted(module, *arguments)
        if module.current_epoch == 1 and module.global_step == 3:  # after the second epoch's first step
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(SearchModule, "_note", stop_once)
        with pytest.raises(KeyboardInterrupt):
            run_of(tmp_path, *SEARCH, "trainer.devices=2")
    (folder,) = tmp_path.iterdir()
    assert load_checkpoint(RunFolder(folder).last_checkpoint("search"))["global_step"] == 3
    resumed = run_of(tmp_path, *SEARCH, "resume=auto")
    assert resumed.path == folder
    assert_same_training(alone, resumed, "search")
    last = [[record for record in records_of(run) if "search/train/loss" in record][-1] for run in (alone, resumed)]
    assert last[0] == pytest.approx(last[1], rel=1e-5, abs=1e-7), "the epoch's means are those of both processes"


def test_an_evaluation_in_turns_is_that_of_one_process(alone, tmp_path):
    settings = [
        "evaluate=spatial", "evaluate.spatial.rotations=3", "evaluate.spatial.translations=1", "evaluate.batch_size=12",
        "evaluate.save_examples=true", "evaluate.eps_curve=[0.1]", "trainer=debug", "trainer.limits.attacks=[pgd20]",
        "stages=[evaluate]", "trainer.limits.test_images=100",
    ]  # fmt: skip
    runs = [
        dsrna.evaluate(alone, [*settings, f"trainer.devices={count}", f"out={tmp_path / str(count)}"])
        for count in (1, 2)
    ]
    one, two = (without_times(run.evaluation) for run in runs)
    assert one == two
    files = [sorted(path.relative_to(run.path) for path in run.path.rglob("evaluation/**/*.*")) for run in runs]
    assert files[0] == files[1]
    examples = [path for path in files[0] if path.suffix == ".npz"]
    assert len(examples) >= 3, "of both processes"
    for path in files[0]:
        if path.suffix == ".json":
            ours, others = (without_times(read_json(run.path / path)) for run in runs)
            assert ours == others


def without_times(node):
    if isinstance(node, dict):
        return {key: without_times(value) for key, value in node.items() if key != "seconds"}
    return [without_times(each) for each in node] if isinstance(node, list) else node
