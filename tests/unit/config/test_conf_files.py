"""Every file under conf/ composes, has the keys and types of the schema, and is valid."""

from itertools import chain, zip_longest

import pytest
import yaml

from dsrna.config.catalog import choices, conf_folder, description, groups
from dsrna.config.compose import compose, settings_from
from dsrna.config.objectives import retrain_objective, search_objective
from dsrna.config.validate import attack_grid, corruption_sweep, threat_of, validate
from dsrna.errors import ConfigError
from dsrna.querying.settings import build_methods, guides_of, query_settings
from dsrna.tables.settings import benchmark_training_settings
from tests.thorough import thorough

GIVEN = {  # what only the user knows
    ("data", "arrays"): ["data.source.path=own.npz"],
    ("strategy", "uniform"): ["metric=none"],
    ("metric_join", "multiplier"): ["metric_join.reference=1.0"],
    ("search_schedule", "early_stopping_hessian"): ["search.epochs=50"],
    ("search_schedule", "progressive_pdarts"): ["search.epochs=75"],
    ("experiment", "imagenet_transfer"): ["from=DARTS_V2"],
}
ENTRIES = {("experiment", "imagenet_transfer"): "retrain"}
ELSEWHERE = {
    *("proxy", "recipe", "method", "tables", "sizes", "optimizer", "schedule", "experiment", "comparison"),
    *("search_method", "tuning"),
}
PLACES = {"attack": "+attack@evaluate.attacks.tried"}
PARTICULAR = {"regulariser", "search_schedule", "space", "strategy"}
"""Not every choice of these goes with every other one: they are chosen one by one."""
EVERY = [
    *([(group, choice)] for group in groups() if group in PARTICULAR for choice in choices(group)),
    *(
        [chosen for chosen in together if chosen]
        for together in zip_longest(
            *(
                [(group, choice) for choice in choices(group)]
                for group in groups()
                if group not in ELSEWHERE | PARTICULAR
            )
        )
    ),
]


def settings_of(entry, *overrides):
    settings = settings_from(compose(entry, list(overrides)))
    validate(settings)
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["search", "retrain", "evaluate"])
def test_every_entry_is_valid(entry):
    assert settings_of(entry).stages[0] == entry


@pytest.mark.slow
@pytest.mark.parametrize("chosen", EVERY, ids=lambda chosen: "-".join(choice for _, choice in chosen))
def test_every_choice_is_valid(chosen):
    typed = [[f"{PLACES.get(group, group)}={choice}", *GIVEN.get((group, choice), [])] for group, choice in chosen]
    settings_of("search", *chain(*typed))
    assert all(description(*each) for each in chosen), "the first comment says what it is"


def of_experiment(name, *chosen):
    key = ("experiment", name)
    return compose(ENTRIES.get(key, "search"), [f"+experiment={name}", *chosen, *GIVEN.get(key, [])])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_valid(experiment):
    settings = settings_from(of_experiment(experiment))
    validate(settings)
    assert settings.name == experiment, "the run folder is named after the experiment"
    assert description("experiment", experiment), "the first comment says what it is"


@pytest.mark.slow
@pytest.mark.parametrize("experiment", choices("experiment"))
@pytest.mark.parametrize(
    "chosen", [("objective=trades", "metric=none", "strategy=darts", "threat=l2"), thorough(("objective=standard",))]
)
def test_parts_chosen_on_the_command_line_win_over_the_experiment(experiment, chosen):
    """Whole, with their own values: neither refused for keys of the experiment's parts, nor changed by them."""
    config = of_experiment(experiment, *chosen)
    validate(settings_from(config))
    for group, _, choice in (each.partition("=") for each in chosen):
        own = yaml.safe_load((conf_folder() / group / f"{choice}.yaml").read_text())
        assert {name: config[group][name] for name in own} == own


@pytest.mark.slow
def test_the_two_objectives_are_chosen_apart():
    chosen = ["objective=trades", "objective@certified.objective=crown_ibp", "retrain.certified=true"]
    settings = settings_of("search", "+experiment=digits_certified", *chosen)
    assert settings.objective["_target_"].endswith("Trades")
    assert (settings.certified.objective["engine"], settings.certified.objective["beta_end"]) == ("crown_ibp", 0.0)


@pytest.mark.slow
def test_the_headline_experiment_is_the_papers():
    """Hosseini et al., CVPR 2021, section 4.1, as far as the paper says; PC-DARTS's warm-up."""
    settings = settings_of("search", "+experiment=cifar10_jacobian")
    search, retrain = settings.search, settings.retrain
    assert (search.epochs, search.batch_size, search.cells, search.channels) == (50, 128, 8, 16)
    weights, alphas = search.weights_optimizer, search.alphas_optimizer
    assert (weights["lr"], weights["momentum"], weights["weight_decay"]) == (0.025, 0.9, 3e-4)
    assert (alphas["lr"], alphas["betas"], alphas["weight_decay"]) == (3e-4, [0.5, 0.999], 1e-3)
    assert settings.metric.weight == 0.01
    assert settings.strategy["partial_channels"] == 4
    assert search.warmup_epochs == 15
    assert (retrain.cells, retrain.channels) == (20, 36)
    assert threat_of(settings).label == "linf 8/255"
    assert settings.objective["relative_step_size"] * threat_of(settings).eps == 2 / 255


@pytest.mark.slow
def test_the_default_search_is_the_recorded_one():
    """experiments/digits: at a tenth of this rate, or of these steps, the operation weights stay where they were."""
    settings = settings_of("search")
    search, strategy = settings.search, settings.strategy
    assert strategy["_target_"].endswith("Snas")
    assert (strategy["partial_channels"], strategy["temperature_end"]) == (1, 0.03)
    assert search.alphas_optimizer["lr"] == 0.05
    assert (search.batch_size, search.epochs, search.warmup_epochs, search.cells) == (32, 20, 4, 3)
    assert (settings.metric.part["_target_"].rpartition(".")[2], settings.metric.weight) == ("JacobianNorm", 0.01)
    assert settings.selection["_target_"].endswith("Argmax")


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["digits_jacobian", "digits_pcdarts", "cifar10_jacobian", "mnist_jacobian"])
def test_what_is_named_after_the_paper_has_its_host(experiment):
    settings = settings_of("search", f"+experiment={experiment}")
    assert settings.strategy["_target_"].endswith("PCDarts")
    assert settings.search.alphas_optimizer["lr"] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "epochs", "schedule", "rate", "objective"),
    [
        ("nas_robbench_201", 50, "OneCycleLR", {"max_lr": "auto"}, "Adversarial"),
        ("robustness_dataset", 200, "CosineAnnealingLR", {"T_max": "auto"}, "Standard"),
    ],
)
def test_the_recipes_are_the_published_ones(recipe, epochs, schedule, rate, objective):
    settings = benchmark_training_settings(compose("benchmark_train", [f"recipe={recipe}", "arch=1"]))
    retrain = settings.retrain
    assert (retrain.epochs, retrain.batch_size, retrain.cells, retrain.channels) == (epochs, 256, 5, 16)
    assert (retrain.optimizer["lr"], retrain.optimizer["momentum"], retrain.optimizer["weight_decay"]) == (
        0.1,
        0.9,
        5e-4,
    )
    assert retrain.schedule["_target_"].endswith(schedule)
    assert {key: retrain.schedule[key] for key in rate} == rate
    assert (retrain.schedule["interval"], retrain.keep, retrain.gradient_clip, retrain.drop_path) == (
        "step",
        "last",
        0,
        0,
    )
    assert settings.objective["_target_"].endswith(objective)
    assert (settings.data.augmentation.crop_padding, settings.data.augmentation.horizontal_flip) == (4, True)


@pytest.mark.slow
def test_nas_robbench_201_is_trained_and_attacked_as_published():
    settings = benchmark_training_settings(compose("benchmark_train", ["arch=1"]))
    assert threat_of(settings).label == "linf 8/255"
    step_size = settings.objective["relative_step_size"] * threat_of(settings).eps
    assert (settings.objective["steps"], step_size) == (7, 2 / 255)
    assert settings.seeds == [1, 2, 3]
    grid = {name: [round(255 * ball.eps, 6) for ball in balls] for name, (_, balls) in attack_grid(settings).items()}
    assert grid == {"fgsm": [3, 8], "pgd": [3, 8]}
    assert attack_grid(settings)["pgd"][0].steps == 20


@pytest.mark.slow
def test_the_robustness_dataset_is_measured_as_published():
    settings = benchmark_training_settings(compose("benchmark_train", ["arch=1", "recipe=robustness_dataset"]))
    grid = {name: [round(255 * ball.eps, 6) for ball in balls] for name, (_, balls) in attack_grid(settings).items()}
    usual = [0.1, 0.5, 1, 2, 3, 4, 8]
    assert grid == {"fgsm": [0.1, 0.5, *range(1, 9), 255], "pgd": usual, "apgd_ce": usual, "square": usual}
    attacks = {name: attack for name, (attack, _) in attack_grid(settings).items()}
    assert (attacks["pgd"].steps, attacks["apgd_ce"].steps, attacks["square"].queries) == (40, 100, 5000)
    assert len(corruption_sweep(settings)) == 75


@pytest.mark.slow
def test_the_debug_form_limits_everything():
    limits = settings_of("search", "trainer=debug").trainer.limits
    assert None not in vars(limits).values()


@pytest.mark.parametrize("choice", choices("method"))
def test_every_method_of_searching_by_queries_is_valid(choice):
    settings = query_settings(compose("query", [f"method=[{choice}]"]))
    assert list(build_methods(settings)) == [choice]
    assert guides_of(settings) == settings.objectives[:2]


@pytest.mark.slow
def test_what_attacks_see_is_the_batch_in_a_search_and_the_running_statistics_after_it():
    chosen = [f"objective@search.{kind}_objective=fast" for kind in ("weights", "architecture")]
    settings = settings_of("search", *chosen, "search.architecture_objective.batch_norm=running", "objective=fast")
    threat = threat_of(settings)
    of_search = [
        search_objective(node, "search.weights_objective", threat).attack.batch_norm
        for node in (settings.search.weights_objective, settings.search.architecture_objective)
    ]
    assert of_search == ["batch", "running"]
    assert retrain_objective(settings.objective, "objective", threat).attack.batch_norm == "running"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["selection", "ranking"])
def test_a_selection_refuses_certified_objectives_with_the_reason(kind):
    with pytest.raises(ConfigError, match=rf"weights of its own.*\(conf: search.{kind}_objective\)"):
        settings_of("search", f"objective@search.{kind}_objective=ibp")
