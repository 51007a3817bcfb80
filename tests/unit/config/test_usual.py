"""A data set brings its own threat, objective, sizes and epochs: data < experiment < command line, at every entry."""

from itertools import product

import pytest

from dsrna.config.catalog import choices
from dsrna.config.compose import compose, settings_from
from dsrna.config.usual import is_assumed
from dsrna.config.validate import attack_grid, eps_curve, further_threats, threat_of, validate
from dsrna.errors import ConfigError
from dsrna.querying.settings import query_settings
from dsrna.ranking.settings import build_proxies, rank_settings
from dsrna.run_folder import RunFolder
from dsrna.runs.replay import replay
from dsrna.tables.settings import benchmark_training_settings
from tests.thorough import thorough

PATH = {"arrays": ["data.source.path=own.npz"]}
USUAL = {  # threat, objective and its steps, (epochs, cells, channels) of search and retrain, stem, AutoAttack's images
    "digits": ("linf 0.1", "Adversarial", 7, (20, 3, 8), (12, 3, 16), "cifar", 10),
    "cifar10": ("linf 8/255", "Adversarial", 7, (50, 8, 16), (200, 20, 36), "cifar", None),
    "cifar100": ("linf 8/255", "Adversarial", 7, (50, 8, 16), (200, 20, 36), "cifar", None),
    "mnist": ("linf 0.3", "Adversarial", 10, (30, 8, 16), (40, 8, 16), "cifar", None),
    "fashion_mnist": ("linf 0.1", "Adversarial", 10, (30, 8, 16), (40, 8, 16), "cifar", None),
    "imagenet": ("linf 4/255", "FastAdversarial", None, (50, 8, 16), (60, 14, 48), "imagenet", None),
    "arrays": ("linf 8/255", "Adversarial", 7, (20, 3, 8), (12, 3, 16), "cifar", 10),
    "folder": ("linf 8/255", "Adversarial", 7, (20, 3, 8), (12, 3, 16), "cifar", 10),
}


def settings_of(entry, *overrides):
    settings = settings_from(compose(entry, list(overrides)))
    validate(settings)
    return settings


def sizes(stage):
    return stage.epochs, stage.cells, stage.channels


def test_every_data_set_is_in_the_table():
    assert sorted(USUAL) == choices("usual")
    assert set(USUAL) < set(choices("threat"))


def test_a_data_set_without_anything_usual_of_its_own_takes_that_of_arrays():
    others = set(choices("data")) - set(USUAL)
    assert others == {"svhn"}
    for data in others:
        settings = settings_of("retrain", f"data={data}", "from=DARTS_V2")
        own = settings_of("retrain", "data=arrays", "data.source.path=x", "from=DARTS_V2")
        assert (settings.threat, settings.retrain, settings.objective) == (own.threat, own.retrain, own.objective)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "data"),
    [
        (entry, data) if entry == "search" or data in ("imagenet", "mnist") else thorough(entry, data)
        for entry, data in product(["search", "retrain", "evaluate"], USUAL)
    ],
)
def test_a_data_set_brings_its_own_at_every_entry(entry, data):
    settings = settings_of(entry, f"data={data}", *PATH.get(data, []))
    kind = settings.objective["_target_"].rpartition(".")[2]
    assert (
        threat_of(settings).label, kind, settings.objective.get("steps"), sizes(settings.search),
        sizes(settings.retrain), settings.retrain.stem, settings.evaluate.attacks["autoattack"].get("images"),
    ) == USUAL[data]  # fmt: skip


@pytest.mark.slow
def test_steps_of_training_fit_the_threat_whatever_it_is():
    """2/255 would be refused at 0.5/255, and would not get anywhere in an l_2 ball of 0.5."""
    from dsrna.config.objectives import retrain_objective

    for typed in ([], ["threat.eps=0.5/255"], ["threat=l2"]):
        settings = settings_of("search", "data=cifar10", *typed)
        attack = retrain_objective(settings.objective, "objective", threat_of(settings)).attack
        assert attack.step_size == threat_of(settings).eps / 4
    given = settings_of("search", "data=cifar10", "objective.step_size=1/255")
    assert retrain_objective(given.objective, "objective", threat_of(given)).attack.step_size == 1 / 255


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "label", "epochs"),
    [
        (["+experiment=mnist_certified"], "linf 0.1", 6),  # the experiment's own
        (["+experiment=mnist_certified", "threat.eps=0.15"], "linf 0.15", 6),
        (["+experiment=mnist_certified", "threat=l2", "retrain.epochs=2"], "l2 0.5", 2),
        (["+experiment=cifar10_jacobian", "data=mnist"], "linf 0.3", 40),  # what the experiment leaves to the data
        (["+experiment=cifar10_jacobian_small", "data=mnist"], "linf 0.3", 4),
        (["data=cifar10", "threat.eps=4/255"], "linf 4/255", 200),
        (["data=cifar10", "threat=mnist"], "linf 0.3", 200),
        (["data=cifar10", "usual=digits"], "linf 8/255", 12),
        (["data=mnist", "usual=digits", "retrain.epochs=5"], "linf 0.3", 5),
    ],
    ids=str,
)
def test_data_then_experiment_then_command_line(typed, label, epochs):
    settings = settings_of("retrain", *typed)
    assert (threat_of(settings).label, settings.retrain.epochs) == (label, epochs)


@pytest.mark.slow
def test_all_that_depends_on_the_threat_follows_it():
    settings = settings_of("evaluate", "data=cifar10", "evaluate=certified", "metric=certified")
    assert eps_curve(settings)[2] == 8 / 255
    assert settings.metric.part["norm"] == "linf"


@pytest.mark.slow
def test_the_grid_is_attacked_in_the_threat_s_norm():
    grid = "+evaluate.grid.pgd={eps:[0.1,2],attack:{_target_:dsrna.evaluation.FoolboxPGD,steps:3}}"
    _, balls = attack_grid(settings_of("evaluate", grid, "threat=l2"))["pgd"]
    assert [(ball.norm, ball.eps) for ball in balls] == [("l2", 0.1), ("l2", 2.0)]
    with pytest.raises(ConfigError, match=r"evaluate.grid.pgd.eps"):
        validate(settings_from(compose("evaluate", [grid])))  # an l_inf ball is at most 1


@pytest.mark.slow
def test_further_threats_are_others_that_an_attack_knows():
    given = settings_of("evaluate", "evaluate.threats=[{norm:l2,eps:128/255},{norm:l1,eps:12}]", "threat=linf")
    assert [(one.norm, one.eps) for one in further_threats(given)] == [("l2", 128 / 255), ("l1", 12.0)]
    bad = {
        "{norm:linf,eps:0.1}": "twice",
        "{norm:l2,eps:1},{norm:l2,eps:1}": "twice",
        "{norm:linf,eps:8}": "did you mean 8/255",
    }
    for threats, message in bad.items():
        with pytest.raises(ConfigError, match=rf"{message}.*\(conf: evaluate.threats"):
            validate(settings_from(compose("evaluate", [f"evaluate.threats=[{threats}]", "threat=linf"])))
    alone = [f"evaluate.attacks.{name}=null" for name in ("autoattack", "apgd_dlr", "square")]
    with pytest.raises(ConfigError, match="norm l1"):
        validate(settings_from(compose("evaluate", ["evaluate.threats=[{norm:l1,eps:1}]", *alone])))


@pytest.mark.slow
def test_a_table_is_made_of_l_inf_attacks():
    with pytest.raises(ConfigError, match=r"l_inf attacks, got l2.*\(conf: threat.norm\)"):
        benchmark_training_settings(compose("benchmark_train", ["arch=1", "threat=l2"]))


@pytest.mark.slow
def test_a_recipe_wins_over_the_data_set():
    settings = benchmark_training_settings(compose("benchmark_train", ["arch=1", "data=digits"]))
    assert (threat_of(settings).label, settings.retrain.epochs, settings.retrain.cells) == ("linf 8/255", 50, 5)


@pytest.mark.slow
def test_a_search_of_nas_bench_201_has_the_sizes_of_its_tables():
    settings = settings_of("search", "space=nasbench201", "strategy=darts", "data=cifar10")
    assert (sizes(settings.search), sizes(settings.retrain)) == ((50, 5, 16), (200, 5, 16))


@pytest.mark.slow
def test_proxies_attack_at_the_data_set_s_radius_and_are_compared_with_its_tables():
    asked = ["proxy=[croze_paper,ntk_robust,ntk_robust_error]"]
    for data, eps, tables in (
        ("cifar10", 8 / 255, "cifar10"),
        ("mnist", 0.3, "cifar10"),
        ("cifar100", 8 / 255, "cifar100"),
    ):
        ranked = rank_settings(compose("rank", [*asked, f"data={data}"]))
        queried = query_settings(compose("query", [*asked, "guide=[]", f"data={data}"]))
        for settings in (ranked, queried):
            assert {node["eps"] for node in settings.proxy.values()} == {eps}
            assert build_proxies(settings.proxy).keys() == {"croze_paper", "ntk_robust", "ntk_robust_error"}
            assert settings.benchmark.dataset == tables
    for read, entry in ((rank_settings, "rank"), (query_settings, "query")):
        with pytest.raises(ConfigError, match=r"l_inf balls, got l2.*\(conf: threat.norm\)"):
            read(compose(entry, ["threat=l2"]))


@pytest.mark.slow
def test_a_data_set_of_the_user_s_takes_what_own_data_take_or_brings_its_own(tmp_path):
    own = [f"hydra.searchpath=['file://{tmp_path}']"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lent.yaml").write_text("defaults: [digits]\nvalidation_fraction: 0.3\n")
    settings = settings_of("search", *own, "data=lent")
    assert (threat_of(settings).label, settings.data.validation_fraction) == ("linf 8/255", 0.3)
    assert threat_of(settings_of("search", *own, "data=lent", "threat=mnist")).label == "linf 0.3"
    assert is_assumed("threat", "lent", own)
    assert is_assumed("threat", "arrays", ())
    assert not is_assumed("threat", "cifar10", ())
    for group, text in (("threat", "defaults: [l2]\n"), ("usual", "# @package _global_\ndefaults: [mnist]\n")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "full.yaml").write_text(text)
    (tmp_path / "data" / "full.yaml").write_text("defaults: [digits]\n")
    settings = settings_of("search", *own, "data=full")
    assert (threat_of(settings).label, settings.retrain.epochs) == ("l2 0.5", 40)
    assert not is_assumed("threat", "full", own)


@pytest.mark.slow
def test_what_starts_from_a_run_keeps_its_settings(tmp_path):
    def earlier(name, *overrides):
        return RunFolder.create(
            tmp_path / name, kind="search", fingerprint="0", config_text="", overrides=overrides, stages=["search"],
            device="cpu", command="",
        ).path  # fmt: skip

    def from_run(run, *typed):
        return settings_of("retrain", *replay("retrain", [f"from={run}", *typed]))

    run = earlier("typed", "data=cifar10", "threat.eps=0.02")
    assert (threat_of(from_run(run)).eps, from_run(run).retrain.epochs) == (0.02, 200)
    assert threat_of(from_run(earlier("plain", "data=mnist"))).eps == 0.3
    moved = from_run(earlier("digits"), "data=cifar10")
    assert (threat_of(moved).label, moved.retrain.epochs) == ("linf 8/255", 200)
