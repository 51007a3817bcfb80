"""`python -m dsrna.benchmark train`: tiny networks on made-up images, read back by the readers of published tables."""

import json
import shutil

import numpy as np
import pytest

from dsrna.benchmarks.nas_robbench_201 import FILE_NAME, NasRobBench201
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.files import write_json
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.spaces.nasbench201.index import string_at
from dsrna.stages import evaluate as evaluate_stage
from dsrna.tables import run as benchmark_training
from dsrna.testing.run_comparison import differences

pytestmark = pytest.mark.slow

TINY = [
    "data=arrays",
    "+data.source.name=cifar10",
    "data.validation_fraction=0.2",
    "retrain.epochs=1",
    "retrain.batch_size=32",
    "retrain.cells=1",
    "retrain.channels=2",
    "retrain.selection_steps=1",
    "evaluate.batch_size=20",
    "trainer=cpu",
    "trainer.threads=1",
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images whose brightness tells their class apart."""
    draws = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 100), ("test", 30)):
        y = np.arange(count) % 10
        noise = draws.integers(0, 30, (count, 16, 16, 3))
        arrays |= {f"x_{part}": (22 * y[:, None, None, None] + noise).astype(np.uint8), f"y_{part}": y}
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def run(images, command_line):
    """(out, *overrides) -> (exit status, what was printed)."""

    def start(out, *overrides, tiny=TINY):
        return command_line("benchmark train", *overrides, *tiny, f"data.source.path={images}", f"out={out}")

    return start


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    """Two architectures, two training runs each."""
    out = tmp_path_factory.mktemp("finished")
    status, text = run(out, "arch=[1,13433]", "seeds=[1,2]")
    assert status == 0, text
    (folder,) = out.iterdir()
    return RunFolder.open(folder)


def measured(network):
    return read_json(network / "evaluation.json")["networks"]["retrain"]["result"]


def test_the_table_says_what_was_measured(finished, tmp_path):
    table = NasRobBench201(finished.path / "table" / FILE_NAME, cache=tmp_path)
    assert finished.is_complete
    assert set(table.metrics("cifar10")) == {"clean", "fgsm", "pgd"}
    for index in (1, 13433):
        for seed in (1, 2):
            result = measured(finished.path / "networks" / f"{index}_seed{seed}")
            found = table.query(string_at(index), "cifar10", "clean", seed=seed)
            assert found == pytest.approx(result["clean"]["accuracy"])
            assert [(r["label"], round(255 * r["eps"])) for r in result["grid"]] == [
                ("FGSM", 3), ("FGSM", 8), ("PGD-20", 3), ("PGD-20", 8),
            ]  # fmt: skip
            for record in result["grid"]:
                metric = "fgsm" if record["label"] == "FGSM" else "pgd"
                found = table.query(index, "cifar10", metric, record["eps"], seed=seed)
                assert found == pytest.approx(record["accuracy"])
    both = [table.query(13433, "cifar10", "clean", seed=seed) for seed in (1, 2)]
    assert table.query(13433, "cifar10", "clean") == pytest.approx(sum(both) / 2)


def test_networks_are_trained_by_the_recipe(finished):
    config = (finished.path / "networks" / "13433_seed2" / "config.yaml").read_text()
    assert "\nseed: 2\n" in config
    assert f"\nfrom: '{string_at(13433)}'\n" in config
    best = finished.path / "networks" / "13433_seed2" / "retrain" / "best.ckpt"
    assert best.is_file()
    epochs = [record["retrain/train/acc_adv"] for record in RunFolder(best.parents[1]).read_metrics()]
    assert len(epochs) == 1


@pytest.fixture
def begun(finished, tmp_path):
    """A copy as it was before its last network."""
    folder = RunFolder(tmp_path / finished.path.name)
    shutil.copytree(finished.path, folder.path)
    shutil.rmtree(folder.path / "table")
    shutil.rmtree(folder.path / "networks" / "13433_seed2")
    document = folder.read_run()
    document["stages"] |= {name: {"state": "pending"} for name in ("13433_seed2", "table")}
    write_json(folder.run_json, document)
    return folder


def test_a_run_that_stopped_goes_on_to_the_same_table(finished, begun, run, tmp_path):
    folder = begun
    cut = folder.path / "networks" / "13433_seed1"
    for path in (cut / "result.json", cut / "evaluation.json"):
        path.unlink()
    inner = read_json(cut / "run.json")
    inner["stages"]["evaluate"] = {"state": "running"}
    write_json(cut / "run.json", inner)
    outer = folder.read_run()
    outer["stages"]["13433_seed1"] = {"state": "interrupted"}
    write_json(folder.run_json, outer)
    kept = folder.path / "networks" / "1_seed1" / "evaluation.json"
    before = kept.stat().st_mtime_ns
    status, text = run(tmp_path, "arch=[1,13433]", "seeds=[1,2]", "resume=auto")
    assert status == 0, text
    assert kept.stat().st_mtime_ns == before
    assert (folder.path / "table" / FILE_NAME).read_bytes() == (finished.path / "table" / FILE_NAME).read_bytes()
    status, text = run(tmp_path, "arch=[1,13433]", "seeds=[1,2]", "resume=auto")
    assert "finished already" in text


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(RunFolder, "append_metrics", 1), (evaluate_stage, "write_json", 1), (benchmark_training, "write_table", 1)],
)
@pytest.mark.usefixtures("begun")
def test_sigterm_ends_with_143_and_the_run_goes_on_to_the_same_table(
    finished, stopped, images, tmp_path, owner, name, call
):
    given = ["arch=[1,13433]", "seeds=[1,2]", *TINY, f"data.source.path={images}", "resume=auto"]
    folder = stopped("benchmark train", given, tmp_path, owner, name, call)
    assert (folder.path / "table" / FILE_NAME).read_bytes() == (finished.path / "table" / FILE_NAME).read_bytes()
    for network in (finished.path / "networks").iterdir():
        assert differences(RunFolder(network), RunFolder(folder.path / "networks" / network.name)) == []


def test_a_multirun_ends_in_one_table_of_the_robustness_dataset(run, tmp_path):
    few = ["evaluate.grid.square=null", "evaluate.grid.apgd_ce.attack.steps=3", "evaluate.grid.apgd_ce.eps=[1/255]"]
    few += ["evaluate.corruptions.names=[fog,pixelate]", "evaluate.grid.pgd.eps=[0.5/255,1]"]
    few = [entry if "names" not in entry else f"+{entry}" for entry in few]
    status, text = run(tmp_path / "runs", "-m", "arch=1,13433", "recipe=robustness_dataset", *few)
    assert status == 0, text
    (sweep,) = (tmp_path / "runs").iterdir()
    table = RobustnessDataset(sweep / "table", cache=tmp_path / "cache")
    assert set(table.metrics("cifar10")) == {"clean", "fgsm", "pgd", "apgd_ce", "fog", "pixelate"}
    for job, index in enumerate((1, 13433)):
        network = sweep / str(job) / "networks" / f"{index}_seed777"
        assert table.query(index, "cifar10", "clean") == pytest.approx(measured(network)["clean"]["accuracy"])
        (largest,) = [r for r in measured(network)["grid"] if r["attack"] == "fgsm" and r["eps"] == 1]
        assert table.query(index, "cifar10", "fgsm", 1.0) == pytest.approx(largest["accuracy"])
        corruptions = read_json(network / "evaluation.json")["networks"]["retrain"]["corruptions"]["records"]
        for record in corruptions:
            found = table.query(index, "cifar10", record["corruption"], severity=record["severity"])
            assert found == pytest.approx(record["accuracy"])
    assert json.loads((sweep / "table" / "meta.json").read_text())["epsilons"]["pgd@Linf"] == [0.5, 255.0]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "either architectures or a number|conf: arch"),
        (["arch=1", "n=3"], "either architectures or a number|conf: arch"),
        (["arch=15625"], "15624|conf: arch"),
        (["arch='|none~0|'"], "conf: arch"),
        (["arch=[13433,13433]"], "the same network|conf: arch"),
        (["n=0"], "conf: n"),
        (["n=3", "seeds=[1,1]"], "conf: seeds"),
        (["n=3", "layout=nasbench"], "conf: layout"),
        (["n=3", "space=darts"], "conf: space"),
        (["n=3", "stages=[retrain]"], "conf: stages"),
        (["n=3", "from=DARTS_V2"], "conf: from"),
        (["n=3", "recipe=robustnes_dataset"], "Did you mean `robustness_dataset`"),
        (["n=3", "retrain.keep=first"], "'best' or 'last'|conf: retrain.keep"),
        (["n=3", "evaluate.grid.pgd.eps=[8]"], "did you mean 8/255|conf: evaluate.grid.pgd.eps"),
        (["n=3", "evaluate.grid.pgd.attack.steps=0"], "conf: evaluate.grid.pgd.attack.steps"),
        (["n=3", "evaluate.grid.pgd=7"], "Expected keys below|conf: evaluate.grid.pgd"),
        (
            ["n=3", "+evaluate.grid.cw={eps: [0.1], attack: {_target_: dsrna.evaluation.CarliniWagner}}"],
            "conf: evaluate.grid",
        ),
        (["n=3", "evaluate=corruptions"], "no place for corruption|conf: evaluate.corruptions"),
    ],
)
def test_bad_input_is_refused_before_any_work(run, tmp_path, overrides, says):
    status, text = run(tmp_path / "runs", *overrides)
    assert status == 2
    flat = " ".join(text.split())
    assert all(part in flat for part in says.split("|")), text
    assert not list(tmp_path.rglob("run.json"))


def test_images_of_another_data_set_are_refused(run, tmp_path):
    tiny = [entry for entry in TINY if not entry.startswith("data")] + ["data=arrays", "+data.source.name=own"]
    status, text = run(tmp_path, "arch=1", tiny=tiny)
    assert (status, "conf: data" in text, list(tmp_path.rglob("run.json"))) == (2, True, [])
