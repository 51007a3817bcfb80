"""Bad input gets one clear message with its key and what to do, before any training, and leaves nothing behind."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.runs.launch import CHECKED
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import PUBLISHED, published
from dsrna.testing.data_roots import write_arrays
from dsrna.training.checkpoints import load_checkpoint, save_checkpoint
from dsrna.training.trained_network import NetworkDescription, build_network, save_network
from tests.thorough import thorough

SIZES = {"cells": 3, "channels": 4, "auxiliary": False, "stem": "cifar"}


class Code:
    """Anything that a checkpoint must not hold."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Name -> path of a file or folder with which something is wrong, or that is right for other settings."""
    folder = tmp_path_factory.mktemp("inputs")
    paths = {"folder": folder, "missing": folder / "missing"}

    def path(name, suffix=""):
        paths[name] = folder / f"{name}{suffix}"
        return paths[name]

    genotype = published("DARTS_V2")
    document = genotype_codec.to_json(genotype)
    for name, shape, classes in (("best", [1, 8, 8], 10), ("colour", [3, 8, 8], 10), ("two", [1, 8, 8], 2)):
        description = NetworkDescription(document, shape, classes, SIZES)
        save_network(path(name, ".ckpt"), description, build_network(description).state_dict(), "made up", {})
    path("cut", ".ckpt").write_bytes(paths["best"].read_bytes()[:-1000])
    path("text", ".ckpt").write_text("not a checkpoint")
    torch.save({"schema": "dsrna.network", "version": 1, "network": Code()}, path("code", ".ckpt"))
    save_checkpoint(path("old", ".ckpt"), load_checkpoint(paths["best"]) | {"version": 99})
    other = NetworkDescription(document, [1, 8, 8], 10, SIZES | {"channels": 8})
    save_network(path("unfit", ".ckpt"), other, build_network(description).state_dict(), "made up", {})

    write_json(path("other_space", ".json"), document | {"space": "darst"})
    write_json(path("old_genotype", ".json"), document | {"version": 99})
    path("cut_genotype", ".json").write_text('{"schema": "dsrna.genotype", "version": 1, "space"')
    path("malformed", ".txt").write_text("Genotype(normal=[('sep_conv_3x3', 0), normal_concat=[2])")
    path("code_genotype", ".txt").write_text("__import__('os').system('touch /tmp/never')")
    path("operation", ".txt").write_text(PUBLISHED["DARTS_V2"].text.replace("dil_conv_3x3", "dil_conv_3x4"))

    def run_folder(name, **changes):
        run = RunFolder.create(
            path(name), kind="search", fingerprint="0" * 32, config_text="", stages=["search"], device="cpu",
            overrides=["seed=3"], command="python -m dsrna.search seed=3",
        )  # fmt: skip
        write_json(run.run_json, run.read_run() | changes)
        return run

    run_folder("other_run")
    run_folder("old_run", version=99)
    run_folder("unfinished_search")
    write_json(run_folder("with_code").overrides_yaml, ["objective._target_=os.system"])
    (run_folder("damaged_run").path / "run.json").write_text('{"schema": "dsrna.run", "ver')
    path("empty_folder").mkdir()

    good = write_arrays(path("good", ".npz"), 3, (12, 12, 1), train_per_class=30)
    path("cut_data", ".npz").write_bytes(good.read_bytes()[:-2000])
    with np.load(good) as arrays:
        np.savez(path("floats", ".npz"), **dict(arrays) | {"x_train": arrays["x_train"] / 255})
        np.savez(path("no_test", ".npz"), x_train=arrays["x_train"], y_train=arrays["y_train"])
    write_arrays(path("few", ".npz"), 3, (12, 12, 1), train_per_class=4)
    write_arrays(path("tiny", ".npz"), 3, (1, 1, 1), train_per_class=30)
    return paths


# name -> (entry point, arguments, what the message says)
ROWS = {
    # names
    "unknown experiment": ("search", "+experiment=cifar10_jacobain", "Unknown experiment|`cifar10_jacobian`"),
    "experiment without a plus": ("search", "experiment=digits_pcdarts", "write +experiment=digits_pcdarts"),
    "misspelt key": ("search", "search.epcohs=3", "`search.epcohs`|Did you mean `search.epochs`"),
    "misspelt node": ("search", "serach.epochs=3", "`serach`|Did you mean `search`"),
    "misspelt key, added": ("search", "+search.epcohs=3", "`search.epcohs`|Did you mean `search.epochs`"),
    "misspelt node, added": ("search", "+serach.epochs=3", "`serach`|Did you mean `search`"),
    "misspelt group": ("search", "metrc=jacobian", "`metrc`|Did you mean `metric`"),
    "misspelt choice": ("search", "metric=jacobain", "Unknown metric|Did you mean `jacobian`|Choose from: "),
    "unknown argument of a class": ("search", "search.weights_optimizer.nestrov=true", "nestrov|mean `nesterov`"),
    "argument of a part that is not looked at": ("search", "certified.objective.kapa_end=1", "mean `kappa_end`"),
    "argument of a part that is not there": ("search", "evaluate.attacks.own.steps=3", "`steps`|evaluate.attacks.own"),
    "argument of a part that is switched off": ("search", "evaluate.verify.eps=[0.1]", "switched off|evaluate.verify)"),
    "network of a search": ("search", "model=torchvision:resnet18", "dsrna.retrain|conf: model"),
    "group of another command": ("search", "method=local", "Unknown key `method`"),
    "group of several places": ("search", "attack=apgd", "attack@PLACE=apgd|+attack@evaluate.attacks.NAME=apgd"),
    "group of several places, added": ("search", "+optimizer=sgd", "optimizer@PLACE=sgd|retrain.optimizer"),
    "key added that is there": ("search", "+seed=1", "`seed`|without the +"),
    "key removed": ("search", "~search.epochs", "`search.epochs`|search.epochs=VALUE"),
    "node removed": ("search", "~metric", "`metric`|leave out ~metric"),
    "a Trainer's own flag": ("search", "trainer.gradient_clip_val=1", "gradient_clip_val|retrain.gradient_clip"),
    "a Trainer's own flag, added": ("search", "+trainer.gradient_clip_val=1", "trainer.gradient_clip_val|There are: "),
    "unknown argument of a metric": ("search", "+metric.projektions=1", "metric.projektions|mean `projections`"),
    "unknown argument of an attack": (
        "search",
        "+evaluate.attacks.pgd20.stps=3",
        "evaluate.attacks.pgd20.stps|Did you mean `steps`",
    ),
    "unknown attack": ("search", "trainer.limits.attacks=[pdg20]", "trainer.limits.attacks|Did you mean `pgd20`"),
    "unknown stage": ("search", "stages=[serach]", "`serach`|Did you mean `search`|conf: stages"),
    "unknown target": ("search", "metric._target_=no.such.Thing", "no.such.Thing|metric._target_"),
    "target that can't be called": ("search", "metric._target_=dsrna.metrics", "not a class|metric._target_"),
    "missing value": ("search", "data=arrays", "`data.source.path`|data.source.path=VALUE"),
    # how it is written
    "no equals sign": ("search", "search.epochs", "`search.epochs`|write KEY=VALUE"),
    "two equals signs": ("search", "name==x", "`name==x`|quote"),
    "the same key twice": ("search", "seed=1 seed=2", "`seed`|keep one"),
    "the same group twice": ("search", "metric=none metric=jacobian", "`metric`|keep one"),
    "malformed sweep": ("search", "-m seed=0,", "`seed=0,`|write KEY=VALUE"),
    "one bad job of a sweep": ("search", "-m seed=0,-1", "Job 1|conf: seed"),
    # values
    "text for a number": ("search", "search.epochs=abc", "'abc'|conf: search.epochs"),
    "null for a number": ("search", "search.epochs=null", "null|conf: search.epochs"),
    "zero epochs": ("search", "retrain.epochs=0", "at least 1|conf: retrain.epochs"),
    "negative seed": ("search", "seed=-1", "conf: seed|[0, 2**32)"),
    "name with a slash": ("search", "name=a/b", "conf: name|letters"),
    "stages not a list": ("search", "stages=search", "conf: stages|stages=[search"),
    "no stage": ("search", "stages=[]", "conf: stages|stages=[search"),
    "no folder": ("search", "out=null", "conf: out|a folder"),
    "fp16": ("search", "trainer.precision=16-mixed", "conf: trainer.precision|bf16-mixed"),
    "unknown logger": ("search", "logger.kind=mlflow", "conf: logger.kind|_target_"),
    "unknown schedule of the metric": ("search", "metric.weight_schedule=cosine", "metric.weight_schedule|linear"),
    "negative weight of the metric": ("search", "metric.weight=-1", "conf: metric.weight|0 or more"),
    "text for the metric's warm-up": ("search", "metric.warmup_epochs=abc", "conf: metric.warmup_epochs|whole number"),
    "validation share of 2": ("search", "data.validation_fraction=2", "conf: data.validation_fraction|(0, 1)"),
    "negative learning rate": ("search", "retrain.optimizer.lr=-1", "learning rate|conf: retrain.optimizer"),
    "no batch": ("search", "evaluate.batch_size=0", "conf: evaluate.batch_size|at least 1"),
    # the threat
    "eps in 0-255 units": ("search", "threat.eps=8", "conf: threat.eps|did you mean 8/255"),
    "l_2 eps in 0-255 units": ("search", "threat=l2 threat.eps=128", "conf: threat.eps|did you mean 128/255"),
    "negative eps": ("search", "threat.eps=-0.1", "conf: threat.eps|>= 0"),
    "eps that is no number": ("search", "threat.eps=big", "conf: threat.eps|8/255"),
    "unknown norm": ("search", "threat.norm=l0", "conf: threat.norm|'l2'"),
    "curve in 0-255 units": ("search", "evaluate.eps_curve=[0.1,8]", "conf: evaluate.eps_curve|did you mean 8/255"),
    "curve that is no list": ("search", "evaluate.eps_curve=all", "conf: evaluate.eps_curve|`auto`"),
    "step size in 0-255 units": ("search", "objective.step_size=2", "conf: objective.step_size|did you mean 2/255"),
    "no attack steps": ("search", "evaluate.attacks.pgd20.steps=0", "conf: evaluate.attacks.pgd20.steps|>= 1"),
    # verification
    "unknown engine": (
        "evaluate",
        "from={best} evaluate=certified evaluate.verify.engines=[crwon]",
        "nearest: crown|conf: evaluate.verify.engines",
    ),
    "engines that are no list": (
        "search",
        "evaluate=certified evaluate.verify.engines=ibp",
        "Expected a list|conf: evaluate.verify.engines",
    ),
    "certified radii in 0-255 units": (
        "search",
        "evaluate=certified evaluate.verify.eps=[8]",
        "did you mean 8/255|conf: evaluate.verify.eps",
    ),
    "radii of another norm": (
        "search",
        "evaluate=certified evaluate.verify.norm=l2",
        "list of radii|conf: evaluate.verify.eps",
    ),
    "nothing to verify": (
        "search",
        "evaluate=certified evaluate.verify.eps=[] evaluate.verify.radius=false",
        "nothing to verify|conf: evaluate.verify.eps",
    ),
    "unknown setting of the verification": (
        "search",
        "evaluate=certified +evaluate.verify.step=3",
        "evaluate.verify.step|bisection_steps",
    ),
    "no time to verify": (
        "search",
        "evaluate=certified evaluate.verify.seconds_per_image=0",
        "above 0|conf: evaluate.verify.seconds_per_image",
    ),
    # corruptions
    "unknown corruption": (
        "search",
        "evaluate=corruptions evaluate.corruptions.names=[fgo]",
        "Did you mean 'fog'|conf: evaluate.corruptions.names",
    ),
    "severity out of range": (
        "search",
        "evaluate=corruptions evaluate.corruptions.severities=[0]",
        "1, 2, 3, 4, 5|conf: evaluate.corruptions.severities",
    ),
    # what doesn't go together
    "warm-up without end": ("search", "search.warmup_epochs=20", "conf: search.warmup_epochs|architecture steps"),
    "projection for l_inf": ("search", "metric.norm=linf metric.estimator=projection", "metric.estimator|classes"),
    "channels not divided by K": ("search", "strategy.partial_channels=3", "partial_channels|multiple|conf: search"),
    "images too small for the stem": ("search", "retrain.stem=imagenet", "32 x 32|fewer `cells`|conf: retrain"),
    "images too small for the cells": ("search", "data=arrays data.source.path={tiny}", "1 x 1|larger images"),
    "hole larger than the image": ("search", "retrain.cutout=9", "conf: retrain.cutout|8 pixels"),
    "margin above the image": ("search", "data.augmentation.crop_padding=9", "augmentation.crop_padding|8 pixels"),
    "images of absurd size": ("search", "data=folder data.source.image_size=100000", "1 to 4096|source.image_size"),
    "a root that nothing reads": ("search", "data.root={empty_folder}", "load_digits|data.root=null|conf: data.root"),
    "a root for arrays": ("search", "data=arrays data.source.path=x data.root=y", "load_arrays|conf: data.root"),
    "schedule that ends early": ("search", "retrain.schedule.total_steps=3", "retrain.schedule.total_steps|`auto`"),
    "evaluation without network": ("search", "stages=[search,evaluate]", "conf: stages|add `retrain`"),
    "search that starts from something": ("search", "from=DARTS_V2", "conf: from|dsrna.retrain"),
    "several at once": ("search", "threat.eps=8 seed=-1", "2 settings|threat.eps|conf: seed"),
    "unknown, wrong and unfitting at once": (
        "search",
        "serach.epochs=3 retrain.epcohs=3 threat.eps=8 metric.projektions=2 search.warmup_epochs=20 "
        "stages=[evaluate,search]",
        "6 settings|conf: serach|retrain.epcohs|threat.eps|metric.projektions|search.warmup_epochs|conf: stages",
    ),
    # data
    "data set that is not there": (
        "search",
        "data=cifar10 data.root={missing} data.download=false",
        "cifar10.npz|data.root=FOLDER|conf: data.root",
    ),
    "file that is not there": ("search", "data=arrays data.source.path={missing}", "missing|conf: data.source"),
    "truncated arrays": ("search", "data=arrays data.source.path={cut_data}", "cut_data.npz|Write it again"),
    "arrays in floats": ("search", "data=arrays data.source.path={floats}", "floats.npz|astype('uint8')"),
    "arrays without a test part": ("search", "data=arrays data.source.path={no_test}", "no_test.npz|x_test"),
    "too few images": ("search", "data=arrays data.source.path={few}", "at least 2 images|data.train_limit"),
    "too few images by the limit": ("search", "data.train_limit=15", "at least 2 images|data.train_limit"),
    "images in no folders": ("search", "data=folder data.root={empty_folder}", "train/CLASS|conf: data.root"),
    # what a later stage starts from
    "retrain from nothing": ("retrain", "", "from=RUN_FOLDER|from=DARTS_V2|conf: from"),
    "retrain from what isn't there": ("retrain", "from={missing}/genotype.json", "missing|conf: from"),
    "retrain from a misspelt name": ("retrain", "from=DARTS_V3", "DARTS_V3|DARTS_V2|conf: from"),
    "retrain from an old run": ("retrain", "from={old_run}", "version 99|conf: from"),
    "retrain from a damaged run": ("retrain", "from={damaged_run}", "damaged_run|truncated|conf: from"),
    "retrain from no run": ("retrain", "from={empty_folder}", "no run.json|conf: from"),
    "retrain from an unfinished run": ("retrain", "from={unfinished_search}", "resume=auto|conf: from"),
    "retrain from a run that names code": ("retrain", "from={with_code}", "objective._target_=os.system|conf: from"),
    "retrain from two runs": ("retrain", "-m from={other_run},{old_run}", "one at a time|conf: from"),
    "genotype of an unknown space": ("retrain", "from={other_space}", "'darst'|other_space|conf: from"),
    "genotype of another space": ("retrain", "from=DARTS_V2 space.nodes=3", "expected 3 nodes|conf: from"),
    "genotype of another version": ("retrain", "from={old_genotype}", "99|old_genotype|conf: from"),
    "truncated genotype": ("retrain", "from={cut_genotype}", "truncated|cut_genotype|conf: from"),
    "malformed genotype": ("retrain", "from={malformed}", "malformed.txt|conf: from"),
    "genotype that is code": ("retrain", "from={code_genotype}", "code_genotype.txt|conf: from"),
    "genotype with an unknown operation": ("retrain", "from={operation}", "dil_conv_3x4|dil_conv_3x3|conf: from"),
    "evaluate from nothing": ("evaluate", "", "from=RUN_FOLDER|best.ckpt|conf: from"),
    "evaluate from what isn't there": ("evaluate", "from={missing}", "missing|conf: from"),
    "evaluate from an untrained run": ("evaluate", "from={unfinished_search}", "retrain stage|conf: from"),
    "truncated checkpoint": ("evaluate", "from={cut}", "cut.ckpt|truncated|conf: from"),
    "text for a checkpoint": ("evaluate", "from={text}", "text.ckpt|not one of dsrna's|conf: from"),
    "code in a checkpoint": ("evaluate", "from={code}", "code.ckpt|not one of dsrna's|conf: from"),
    "checkpoint of another version": ("evaluate", "from={old}", "version 99|old.ckpt|conf: from"),
    "checkpoint that doesn't fit itself": ("evaluate", "from={unfit}", "unfit.ckpt|fit together|conf: from"),
    "images of another channel count": ("evaluate", "from={colour}", "(3, 8, 8)|(1, 8, 8)|conf: data"),
    "images of another size": (
        "evaluate",
        "from={best} data=arrays data.source.path={good}",
        "(1, 12, 12)|(1, 8, 8)|conf: data",
    ),
    "another number of classes": ("evaluate", "from={two}", "2 classes|conf: data"),
    "report as a first stage": ("retrain", "from=DARTS_V2 stages=[report]", "python -m dsrna report|conf: stages"),
    "choice that is a number": (
        "search",
        "metric=3",
        "got `metric=3`|Choose from: adversarial_loss, certified|conf: metric",
    ),
    "choice that is a path": ("search", "metric=../../x/none", "name of a choice|got `metric/../../x/none`"),
    "choice that is null": (
        "search",
        "metric=null",
        "got `metric=null`|Choose from: adversarial_loss, certified|conf: metric",
    ),
    "override without a key": ("search", "=3", "Expected GROUP=NAME|got `=3`"),
    "choice of Hydra's that is a number": ("search", "hydra/launcher=3", "got `hydra/launcher=3`"),
    # where it is written
    "folder below a file": ("search", "out={best}/runs", "conf: out|out=FOLDER"),
    "folder that is a file": ("search", "out={best}", "conf: out|out=FOLDER"),
    "folder of another run": ("search", "hydra.run.dir={other_run} resume=auto", "other settings|conf: out"),
    "folder with an unquoted =": ("search", "out=a=b", "Can't read the override `out=a=b`|quote a value|KEY=\"a=b\""),
    "folder with unquoted brackets": ("search", "out=a[b]", "Can't read the override `out=a[b]`|quote a value"),
    "folder whose name is computed": ("search", "hydra.run.dir='${{out}}/x'", "name of a folder|conf: hydra.run.dir"),
}  # fmt: skip


def arguments_of(row, files, out):
    kind, typed, says = ROWS[row]
    given = typed.format(**files).split()
    return kind, [*given, *([] if "out=" in typed else [f"out={out}"]), "trainer=debug"], says.split("|")


def check(outcome, says, files, out, before):
    assert outcome.status == 2, outcome.text
    assert outcome.text.removeprefix(f"{CHECKED}\n").startswith("[error] ")
    assert outcome.text.count("[error]") == 1, "one message"
    assert "Traceback" not in outcome.text
    for part in says:
        assert part in outcome.text
    assert not out.exists() or not list(out.iterdir()), "nothing is left behind"
    assert contents(files["folder"]) == before, "what was there is as it was"


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_gets_one_clear_message(row, files, command_line, tmp_path):
    before = contents(files["folder"])
    kind, arguments, says = arguments_of(row, files, tmp_path / "runs")
    check(command_line(kind, *arguments), says, files, tmp_path / "runs", before)


def test_the_table_is_long_enough():
    assert len(ROWS) >= 110


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_gpu_that_is_not_there(command_line, tmp_path):
    outcome = command_line("search", "trainer=gpu", f"out={tmp_path}")
    assert outcome.status == 2
    assert outcome.text.removeprefix(f"{CHECKED}\n").startswith("[error] Expected a GPU, found none")
    assert "trainer=cpu" in outcome.text
    assert "(conf: trainer.accelerator)" in outcome.text
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_overwritten(files, command_line, tmp_path):
    """The same settings in the same folder, without resume."""
    arguments = ["trainer=debug", "stages=[search]", "trainer.limits.batches=1", f"hydra.run.dir={tmp_path}"]
    assert command_line("search", *arguments).status == 0
    before = contents(tmp_path)
    outcome = command_line("search", *arguments)
    assert outcome.status == 2
    assert "resume=auto" in outcome.text
    assert "(conf: resume)" in outcome.text
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("row", ["misspelt key", thorough("retrain from nothing"), thorough("truncated checkpoint")])
def test_the_same_in_a_process_of_its_own(row, files, tmp_path):
    before = contents(files["folder"])
    kind, arguments, says = arguments_of(row, files, tmp_path / "runs")
    command = [sys.executable, "-m", f"dsrna.{kind}", *arguments]
    environment = os.environ | {"HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout == ""
    outcome = type("Outcome", (), {"status": done.returncode, "text": done.stderr})
    check(outcome, says, files, tmp_path / "runs", before)


def test_torch_compile_without_a_compiler(command_line, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    outcome = command_line("search", "trainer=cpu", "evaluate.torch_compile=true", f"out={tmp_path}")
    assert outcome.status == 2
    assert "C++ compiler" in outcome.text
    assert "(conf: evaluate.torch_compile)" in outcome.text
    assert list(tmp_path.iterdir()) == []
