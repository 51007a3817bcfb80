"""The plans in conf/comparison: every row of them composes, and names cells that there are."""

import pytest

from dsrna.comparing.jobs import Jobs
from dsrna.comparing.plan import Plan
from dsrna.comparing.replayed import replayed_overrides
from dsrna.comparing.settings import comparison_settings
from dsrna.config.catalog import choices
from dsrna.config.compose import compose, compose_with_hydra
from dsrna.config.parts import build_part
from dsrna.errors import ConfigError
from dsrna.runs.request import request_of
from dsrna.spaces.genotype_source import read_genotype
from dsrna.stages.inputs import genotype_to_train


def request(tmp_path, *overrides):
    config, of_hydra = compose_with_hydra("compare", list(overrides))
    return request_of("compare", ["dsrna.compare"], comparison_settings(config), config, of_hydra, tmp_path, "again")


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("comparison"))
def test_every_row_composes(name, tmp_path):
    given = request(tmp_path, f"+comparison={name}")
    jobs, settings = Jobs(given), given.settings
    assert settings.name == name
    for row in settings.rows:
        if row.source is not None:
            genotype_to_train(row.source, build_part(jobs.shared(row.name).settings.space, "space"))
        if row.query is not None:
            assert jobs.search(row.name, 0).settings.data == jobs.shared(row.name).settings.data
        if row.search is not None:
            searched, shared = jobs.searching(row.name).settings, jobs.shared(row.name).settings
            assert searched.retrain == shared.retrain
            assert searched.evaluate == shared.evaluate
    different = {str(jobs.searching(row.name).config) for row in settings.rows if row.search is not None}
    assert len(different) == sum(row.search is not None for row in settings.rows)


@pytest.mark.slow
def test_the_tour_is_six_rows_and_two_seeds_and_the_other_is_full_size():
    tour, large = (
        comparison_settings(compose("compare", [f"+comparison={name}"]))
        for name in ("digits_tour", "cifar10_robust_nas")
    )
    assert len(tour.rows) == 6
    assert (len(tour.search_seeds), len(tour.training_seeds)) == (2, 2)
    assert len(list(Plan.of(tour).chains)) == 22
    assert sum(row.is_searched for row in large.rows) == 17
    assert sum(row.model is not None for row in large.rows) == 4
    assert (large.retrain.cells, large.retrain.channels, large.retrain.epochs) == (20, 36, 200)
    assert large.evaluate.attacks["autoattack"] is not None


@pytest.mark.slow
def test_what_a_row_searches_by_leaves_the_trainings_alone(tmp_path):
    rows = "rows=[{name: a, search: ['strategy=gaea', 'search.epochs=9']}, {name: b, search: []}]"
    jobs = Jobs(request(tmp_path, rows))
    assert jobs.searching("a").settings.search.epochs == 9
    assert jobs.shared("a").settings == jobs.shared("b").settings
    assert jobs.search("a", 0).fingerprint != jobs.search("b", 0).fingerprint != jobs.search("b", 1).fingerprint


def fingerprints(folder, *further):
    rows = "rows=[{name: a, search: ['search.warmup_epochs=1']}, {name: b, from: DARTS_V2}]"
    jobs, cell = Jobs(request(folder, rows, *further)), read_genotype("DARTS_V2").canonical()
    found = (jobs.search("a", 0), jobs.training("b", cell, 0), jobs.evaluation("b", cell, 0))
    return {job.kind: job.fingerprint for job in found}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return fingerprints(tmp_path_factory.mktemp("before"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("evaluate.attacks.cw=null", {"evaluate"}),
        ("retrain.epochs=3", {"retrain", "evaluate"}),
        ("search.epochs=30", {"search"}),
        ("threat.eps=0.2", {"search", "retrain", "evaluate"}),
        ("trainer.threads=3", set()),
        ("training_seeds=[4,5,6]", set()),
    ],
)
def test_what_changes_which_jobs(before, tmp_path, override, changes):
    after = fingerprints(tmp_path, override)
    assert {kind for kind in before if before[kind] != after[kind]} == changes


@pytest.mark.slow
def test_a_fixed_network_is_trained_by_the_recipe_of_cells(tmp_path):
    rows = "rows=[{name: a, from: DARTS_V2}, {name: b, model: 'dsrna:wrn_16_4'}]"
    jobs = Jobs(request(tmp_path, rows))
    cells, fixed = (jobs.shared(name).settings for name in "ab")
    own = {"model": None, "model_arguments": None, "normalization": None, "stages": cells.stages}
    assert fixed.model_copy(update=own) == cells
    assert (fixed.model, fixed.normalization) == ("dsrna:wrn_16_4", "data")


@pytest.mark.slow
def test_queries_are_of_the_comparisons_images_and_space(tmp_path):
    rows = "rows=[{name: a, query: ['proxy=[croze]', 'method=[mutate]', 'budget=9']}]"
    given = ["data.train_limit=300", "threat.eps=8/255", "space.nodes=2", "search.cells=4", "search.channels=6"]
    jobs = Jobs(request(tmp_path, rows, *given))
    (first, second), shared = (jobs.search("a", seed) for seed in (0, 1)), jobs.shared("a").settings
    settings = first.settings
    assert settings.data == shared.data
    assert settings.space == shared.space
    assert (settings.space["nodes"], settings.threat.value.eps) == (2, 8 / 255)
    assert (settings.budget, settings.repeats, settings.cells, settings.channels) == (9, 1, 4, 6)
    assert (second.settings.seed, second.kind) == (1, "query")
    assert first.folder.path != second.folder.path


@pytest.mark.slow
@pytest.mark.parametrize("query", ["'proxy=[croze,nwot]', 'method=[mutate]'", "'proxy=[croze]'", "'method=[local]'"])
def test_queries_that_lead_to_no_one_cell_are_refused(tmp_path, query):
    with pytest.raises(ConfigError, match="Row a: "):
        Jobs(request(tmp_path, f"rows=[{{name: a, query: [{query}]}}]"))


@pytest.mark.slow
def test_a_search_on_other_data_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Row a: its search has other settings of `data`"):
        Jobs(request(tmp_path, "rows=[{name: a, search: ['+experiment=cifar10_jacobian_small']}]"))


@pytest.mark.slow
def test_what_is_replayed_of_a_job_composes_to_its_data_and_threat(tmp_path):
    given = request(
        tmp_path, "rows=[{name: b, random: 1}]", "data.train_limit=500", "threat.eps=8/255", "data.root=null"
    )
    shared = Jobs(given).shared("b")
    again = compose("evaluate", replayed_overrides(shared.config, shared.choices))
    assert again.data == shared.config["data"]
    assert again.threat == shared.config["threat"]
