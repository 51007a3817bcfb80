from functools import cache

import pytest

from dsrna.config.command_line import with_config_folder
from dsrna.config.compose import compose, settings_from
from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.validate import validated
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json, write_text
from dsrna.querying.settings import query_settings
from dsrna.ranking.settings import rank_settings
from dsrna.run_folder import RunFolder
from dsrna.runs.jobs import jobs_of
from dsrna.runs.replay import replay
from dsrna.tables.settings import benchmark_training_settings


def expand(overrides, entry="rank"):
    return jobs_of(entry, overrides).overrides


@cache
def print_of(*overrides):
    return fingerprint_of(settings_from(compose("search", list(overrides))))


@pytest.mark.slow
def test_a_multirun_is_the_product_of_its_choices_in_hydras_order():
    jobs = expand(["data=mnist,digits", "seed=0,1", "name=a", "hydra.sweep.dir=x"])
    assert jobs == [
        ["data=mnist", "seed=0", "name=a"],
        ["data=mnist", "seed=1", "name=a"],
        ["data=digits", "seed=0", "name=a"],
        ["data=digits", "seed=1", "name=a"],
    ]
    assert expand(["seed=range(0,3)"]) == [["seed=0"], ["seed=1"], ["seed=2"]]
    assert expand(["proxy=[croze,nwot]"]) == [["proxy=[croze,nwot]"]]


def test_what_a_config_gives_the_sweeper_is_swept_too(tmp_path):
    file = tmp_path / "experiment" / "swept.yaml"
    write_text(file, "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 0,1\n      name: a\n")
    named = with_config_folder(["+experiment=swept", "name=b"], str(tmp_path))
    jobs = expand(named, "search")
    assert [set(job) for job in jobs] == [{named[0], "+experiment=swept", "name=b", f"seed={seed}"} for seed in (0, 1)]


def test_what_all_jobs_share_is_composed_as_hydra_will():
    with pytest.raises(ConfigError, match=r"Unknown metric `jacobain`\. Did you mean `jacobian`"):
        expand(["metric=jacobain", "seed=0,1"], "search")


def test_a_malformed_sweep_is_refused():
    with pytest.raises(ConfigError, match=r"`seed=0,`"):
        expand(["name=a", "seed=0,"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    ["seed=1", "search.epochs=9", "threat.eps=0.2", "metric.projections=2", "trainer.limits.epochs=1",
     "stages=[search]", "data.train_limit=500", "trainer.precision=64-true", "search.batch_size=9",
     "retrain.batch_size=9", "data.validation_fraction=0.2"],
)  # fmt: skip
def test_what_changes_results_changes_the_fingerprint(override):
    assert print_of(override) != print_of()


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    ["out=elsewhere", "resume=auto", "logger=tensorboard", "trainer.progress=off", "trainer.checkpoint_minutes=1",
     "seed=0", "name=other", "data.root=/elsewhere", "data.download=false", "trainer.threads=3",
     "search.implementation=textbook", "retrain.torch_compile=true", "evaluate.torch_compile=true",
     "evaluate.batch_size=3"],
)  # fmt: skip
def test_what_changes_no_result_leaves_the_fingerprint(override):
    assert print_of(override) == print_of()


@pytest.mark.slow
def test_the_fingerprint_is_the_same_on_every_machine():
    """From the values alone: not from hash(), whose seed differs between processes, nor from a path."""
    import os
    import subprocess
    import sys

    code = (
        "from dsrna.config.compose import compose, settings_from\nfrom dsrna.config.fingerprint import fingerprint_of\n"
        "from dsrna.config.model import parts_untried\n"
        "with parts_untried():\n"  # no need to import torch
        "    print(fingerprint_of(settings_from(compose('search', ['seed=5']))))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == print_of("seed=5")


ATTACKS = ["evaluate.attacks.apgd_dlr=null", "evaluate.attacks.square=null"]
BEFORE = ["retrain.epochs=16", "evaluate.attacks.autoattack.images=30", *ATTACKS]
"""What the default was then."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "read", "overrides", "expected"),
    [
        ("search", validated, BEFORE, "3106b99963db12b4685b184c500219a7"),
        ("search", validated, ["+experiment=cifar10_combined", *ATTACKS], "e5ea8d7daa9eb404c2ae496b9518f5c7"),
        (
            "search",
            validated,
            ["metric.weight=1", "threat=l2", "threat.eps=128/255", "evaluate=certified", "retrain.baseline=0",
             "evaluate.eps_curve=[0,8/255,0.5]", "retrain.gradient_clip=5", "search.warmup_epochs=0", *BEFORE],
            "2f125c8aa25d31ca0ec0ed5b4cbb37a8",
        ),
        ("rank", rank_settings, [], "5ae2d8c091bc4c45834707a3dd864117"),
        ("query", query_settings, [], "fd288fc808e511d7a68a6c12058c0b23"),
        ("benchmark_train", benchmark_training_settings, ["arch=1"], "fa51e25147380f00a74eb79547b21c38"),
    ],
)  # fmt: skip
def test_runs_that_were_begun_before_are_found_again(entry, read, overrides, expected):
    """Recorded on 27 November 2026. A new setting changes them all: then such runs can't be gone on with any more."""
    assert fingerprint_of(read(compose(entry, overrides))) == expected


@pytest.fixture
def earlier(tmp_path):
    """(overrides) -> the folder of a run that was started with them."""

    def make(*overrides):
        folder = RunFolder.create(
            tmp_path / "run", kind="search", fingerprint="0", config_text="", overrides=overrides, stages=["search"],
            device="cpu", command="",
        )  # fmt: skip
        return folder.path

    return make


@pytest.mark.slow
def test_a_runs_settings_are_replayed_before_the_users(earlier):
    run = earlier("+experiment=digits_pcdarts", "data.train_limit=500", "threat.eps=0.2", "stages=[search]", "out=x",
                  "trainer=debug", "logger=wandb", "resume=auto", "name=n", "hydra.run.dir=y")  # fmt: skip
    typed = [f"from={run}", "threat.eps=0.3"]
    replayed = ["+experiment=digits_pcdarts", "data.train_limit=500", *typed]
    assert replay("retrain", typed) == [*replayed, "stages=[retrain,evaluate,report]"]
    assert replay("evaluate", [*typed, "stages=[evaluate]"]) == [*replayed, "stages=[evaluate]"]


def test_what_an_earlier_run_switched_off_is_there_again_where_something_of_it_is_set(earlier):
    run = earlier("evaluate.attacks.cw=null", "evaluate.attacks.fgsm=null", "evaluate.attacks.pgd20.steps=5")
    typed = [f"from={run}", "evaluate.attacks.cw.steps=7", "evaluate.attacks.pgd20.restarts=2"]
    attacks = settings_from(compose("evaluate", replay("evaluate", typed))).evaluate.attacks
    assert attacks["fgsm"] is None
    assert attacks["cw"]["steps"] == 7
    assert (attacks["pgd20"]["steps"], attacks["pgd20"]["restarts"]) == (5, 2)


@pytest.mark.slow
def test_settings_of_a_part_that_another_one_replaces_are_replayed_where_it_has_them(earlier):
    own = ["evaluate=smoothed", "evaluate.smoothing.samples=7", "evaluate.batch_size=9", "threat.eps=0.3",
           "objective.relative_step_size=0.1", "objective.label_smoothing=0.2"]  # fmt: skip
    run = earlier(*own)
    replayed = replay("evaluate", [f"from={run}", "evaluate=quick", "objective=fast"])
    kept = ["evaluate.batch_size=9", "threat.eps=0.3", "objective.label_smoothing=0.2"]
    assert [override for override in replayed if override in own] == kept
    settings = settings_from(compose("evaluate", replayed))
    assert (settings.evaluate.smoothing, settings.evaluate.batch_size) == (None, 9)
    assert [override for override in replay("evaluate", [f"from={run}"]) if override in own] == own
    assert [override for override in replay("evaluate", [f"from={run}", "seed=3"]) if override in own] == own


@pytest.mark.slow
def test_the_entry_point_s_stages_win_over_an_experiment_s():
    typed = ["+experiment=imagenet_transfer", "from=best.ckpt"]
    assert settings_from(compose("evaluate", typed)).stages[0] == "retrain"
    assert settings_from(compose("evaluate", replay("evaluate", typed))).stages == ["evaluate", "report"]


def test_nothing_is_replayed_into_a_search_or_from_a_file(earlier, tmp_path):
    run = earlier("seed=3")
    assert replay("search", [f"from={run}"]) == [f"from={run}"]
    assert replay("retrain", ["from=DARTS_V2"]) == ["from=DARTS_V2"]
    assert replay("evaluate", [f"from={run / 'run.json'}"]) == [f"from={run / 'run.json'}"]


def test_code_is_replayed_only_on_the_users_word(earlier):
    run = earlier("objective._target_=os.system")
    with pytest.raises(ConfigError, match=r"names code.*\(conf: from\)"):
        replay("retrain", [f"from={run}"])
    typed = [f"from={run}", "objective._target_=os.getcwd"]
    assert replay("retrain", typed) == typed


def test_a_damaged_run_is_refused(earlier):
    run = earlier("seed=3")
    write_json(run / "run.json", {"schema": "other"})
    with pytest.raises(CheckpointError, match=r"\(conf: from\)"):
        replay("evaluate", [f"from={run}"])
