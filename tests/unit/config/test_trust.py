import copy
from functools import cache

import pytest
from omegaconf import OmegaConf

from dsrna.config.catalog import named_targets
from dsrna.config.compose import compose
from dsrna.config.trust import check_replayed, is_known
from dsrna.config.validate import validated
from dsrna.errors import ConfigError


@pytest.mark.parametrize(
    "target",
    sorted({"dsrna.evaluation.Square", "torch.optim.AdamW", "torch.optim.lr_scheduler.StepLR", *named_targets()}),
)
def test_what_dsrna_s_configs_and_torch_optim_hold_may_be_named(target):
    assert is_known(target)


@pytest.mark.parametrize(
    "target",
    ["os.system", "dsrna.files.write_text", "dsrna.metrics.jacobian.os", "dsrna.metrics.base.RobustnessMetric.score",
     "torch.optim.optimizer.os.system", "torch.optim.optimizer.functools.partial", "torch.optim.lr_scheduler.partial",
     "torch.optim.swa_utils.AveragedModel", "torch.load", "torch.optim.Adam.__init__", "torch.optim..Adam", "",
     "torch.optim.lr_scheduler", "torch.optim.nothing", " torch.optim.Adam", "torch.optim.Adam\n"],
)  # fmt: skip
def test_nothing_else_may(target):
    assert not is_known(target)


@pytest.mark.parametrize(
    "override",
    ["metric=none", "+experiment=digits_certified", "objective@certified.objective=crown_ibp", "~metric.projections",
     "threat.eps=8/255", "data.root=/a/b", "retrain.optimizer._target_=torch.optim.AdamW", "proxy=[croze,nwot]",
     "evaluate.attacks.cw=null", "retrain.optimizer={_target_: torch.optim.SGD, lr: 0.1}", "+metric.projections=2"],
)  # fmt: skip
def test_ordinary_overrides_are_replayed(override):
    check_replayed(override, [])


@pytest.mark.parametrize(
    "override",
    ["metric=../../x/none", "metric=/x/none", "metric=none.yaml", "proxy=[croze,../x]", "+experiment=../x", "metric=3",
     "+metric@evaluate.verify=/x/none", "+objective/own=ibp", "metric@_global_=none", "metric@a._global_=none"],
)  # fmt: skip
def test_choices_of_a_run_folder_are_the_catalogues_at_places_of_the_config(override):
    with pytest.raises(ConfigError):
        check_replayed(override, [])


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("metric", "dsrna.proxies.snip.Snip"),
        ("metric", "dsrna.data.digits.load_digits"),
        ("strategy", "dsrna.metrics.none.NoMetric"),
        ("regulariser.own", "dsrna.metrics.none.NoMetric"),
        ("objective", "dsrna.metrics.none.NoMetric"),
        ("search.weights_objective", "dsrna.metrics.none.NoMetric"),
        ("certified.objective", "dsrna.metrics.none.NoMetric"),
        ("search.alphas_optimizer", "dsrna.metrics.none.NoMetric"),
        ("retrain.optimizer", "torch.optim.lr_scheduler.StepLR"),
        ("search.weights_schedule", "torch.optim.SGD"),
        ("evaluate.attacks.own", "dsrna.metrics.none.NoMetric"),
        ("evaluate.grid.own", "dsrna.metrics.none.NoMetric"),
        ("evaluate.corruptions", "dsrna.metrics.none.NoMetric"),
        ("evaluate.verify", "dsrna.metrics.none.NoMetric"),
        ("retrain.optimizer", "torch.optim.LBFGS"),
        ("search.alphas_optimizer", "torch.optim.LBFGS"),
        ("retrain.schedule", "torch.optim.lr_scheduler.ReduceLROnPlateau"),
    ],
)
def test_a_part_of_another_kind_is_refused_with_its_place(where, target):
    config = copy.deepcopy(composed())
    part, key = {"_target_": target}, where
    if where == "evaluate.grid.own":
        part, key = {"eps": [0.1], "attack": part}, f"{where}.attack"
    OmegaConf.update(config, where, part, force_add=True)
    with pytest.raises(ConfigError, match=rf"^[^\n]*\(conf: {key}\._target_\)$"):
        validated(config)


@cache
def composed():
    return compose("search", [])
