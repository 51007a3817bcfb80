"""A whole comparison, tiny: shared work, stopped and gone on with, a row added, two processes."""

import json
import os
import signal
from dataclasses import replace

import pytest

from dsrna.comparing.architectures import digest_of
from dsrna.comparing.results import Results
from dsrna.errors import NonFiniteError
from dsrna.json_files import read_json
from dsrna.query_searches.encoding import genotype_of
from dsrna.run_folder import RunFolder
from dsrna.spaces.darts.space import DartsSpace
from dsrna.training.retrain_module import RetrainModule

PLAN = """\
# @package _global_
rows:
  - name: clean
    search: [strategy=darts, metric=none]
  - name: again
    about: the same search under another name
    search: [strategy=darts, metric=none]
  - name: random
    random: 2
    like: clean
{more}
search_seeds: [0]
training_seeds: [0]
"""
MORE = """\
  - name: network
    model: dsrna:preact_resnet18
    model_arguments: { width: 4 }
  - name: proxy
    query: ["proxy=[nwot]", "method=[random]", budget=3, images=8]
  - name: published
    from: "Genotype(normal=[('skip_connect', 0), ('sep_conv_3x3', 1)], normal_concat=[2],
      reduce=[('skip_connect', 0), ('max_pool_3x3', 1)], reduce_concat=[2])"
"""
TINY = [
    "trainer=debug", "trainer.limits.batches=1", "trainer.limits.attacks=[fgsm]", "trainer.limits.test_images=6",
    "data.train_limit=160", "evaluate.eps_curve=[]", "space.nodes=1", "search.random_cells=0",
    "retrain.selection_steps=1", "rehearsal=never",
]  # fmt: skip


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """A config folder of the user's, and where the comparison goes."""
    folder = tmp_path_factory.mktemp("plans")
    (folder / "comparison").mkdir()
    return folder


def write_plan(plans, more=""):
    (plans / "comparison" / "tiny.yaml").write_text(PLAN.format(more=more))


def given(plans):
    return ["--config-dir", str(plans), "+comparison=tiny", f"out={plans / 'runs'}", *TINY]


def jobs(plans):
    folder = plans / "runs" / "tiny"
    return {
        kind: sorted(path.parent.name for path in (folder / kind).glob("*/run.json"))
        for kind in ("searches", "trainings", "evaluations")
    }


@pytest.fixture(scope="module")
def done(plans, command_line):
    write_plan(plans)
    outcome = command_line("compare", *given(plans))
    assert outcome.status == 0, outcome.text
    return plans / "runs" / "tiny"


def test_equal_work_is_done_once(done, plans):
    assert {kind: len(names) for kind, names in jobs(plans).items()} == {
        "searches": 1, "trainings": 3, "evaluations": 3
    }  # fmt: skip
    results = Results.load(done)
    clean, again, random = results.rows
    assert [one.cell for one in clean.found] == [one.cell for one in again.found]
    assert len({one.cell for one in random.found} | {clean.found[0].cell}) == 3
    assert len(results.trained) == 3


def test_the_numbers_are_those_of_the_run_folders(done):
    for one in Results.load(done).trained:
        evaluation = read_json(done / one.folder / "evaluation.json")
        result = evaluation["networks"]["retrain"]["result"]
        assert one.clean == result["clean"]["accuracy"] == one.right.count("1") / len(one.right)
        assert one.robust == result["records"][-1]["accuracy"] == one.standing.count("1") / len(one.standing)


def test_images_of_every_network_were_shown_to_every_other_one(done):
    results = Results.load(done)
    assert results.transfer["networks"] == [[one.cell, one.seed] for one in results.trained]
    for column, one in enumerate(results.trained):
        assert all(row[column] <= one.clean for row in results.transfer["accuracy"])
    assert len((done / "transfer.csv").read_text().splitlines()) == 1 + 9
    assert (done / "figures" / "transfer.pdf").exists()


def test_all_rows_are_trained_and_evaluated_by_the_same_settings(done):
    def settings(kind):
        found = set()
        for path in (done / kind).glob("*/config.yaml"):
            lines = path.read_text().splitlines()
            found.add("\n".join(line for line in lines if line.split(":")[0] not in ("seed", "from", "name")))
        return found

    assert len(settings("trainings")) == len(settings("evaluations")) == 1


def test_nothing_is_done_again_and_a_row_that_is_added_is_all_that_is_done(done, plans, command_line):
    before = {path: path.stat().st_mtime_ns for path in done.glob("*/*/run.json")}
    write_plan(plans, MORE)
    outcome = command_line("compare", *given(plans))
    assert outcome.status == 0, outcome.text
    after = {path: path.stat().st_mtime_ns for path in done.glob("*/*/run.json")}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1 + 3 * 2
    results = Results.load(done)
    assert [row.name for row in results.rows] == ["clean", "again", "random", "network", "proxy", "published"]
    scores = RunFolder(next(done.glob("searches/*/scores.jsonl")).parent).read_scores()
    best = max(scores, key=lambda of: of["scores"]["nwot"])
    (cell,) = results.networks(results.rows[4])
    found = genotype_of(tuple(map(int, best["architecture"].split("."))), DartsSpace(nodes=1))
    assert cell == digest_of(found), "the best of what was scored is trained"
    (network,) = results.networks(results.rows[3])
    assert results.costs[network].parameters == 44_438
    assert results.costs[network].multiply_adds > 0
    assert "published" in (done / "table.csv").read_text()
    write_plan(plans)
    assert command_line("compare", *given(plans)).status == 0
    assert len(Results.load(done).trained) == 3  # what isn't in the plan isn't in the table
    assert json.loads((done / "run.json").read_text())["kind"] == "compare"


SMALL = """\
# @package _global_
rows: [{ name: random, random: 1 }]
training_seeds: [0, 1]
"""


def test_what_was_stopped_ends_as_what_was_not(plans, command_line, monkeypatch):
    (plans / "comparison" / "small.yaml").write_text(SMALL)
    given = ["--config-dir", str(plans), "+comparison=small", *TINY, "trainer.limits.epochs=2", "retrain.epochs=2"]
    assert command_line("compare", *given, f"out={plans / 'whole'}").status == 0
    step, steps = RetrainModule.training_step, []

    def stopping(module, batch, batch_idx):
        step(module, batch, batch_idx)
        steps.append(batch_idx)
        if len(steps) == 3:  # the first of the second training's two epochs
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RetrainModule, "training_step", stopping)
    stopped = command_line("compare", *given, f"out={plans / 'stopped'}")
    assert stopped.status == 128 + signal.SIGTERM
    assert "python -m dsrna.compare" in stopped.text
    assert len(steps) == 3
    assert not (plans / "stopped" / "small" / "table.html").exists()
    again = command_line("compare", *given, f"out={plans / 'stopped'}")
    assert again.status == 0, again.text
    assert len(steps) == 4  # the first training and the first epoch aren't done again
    whole, resumed = (Results.load(plans / out / "small").trained for out in ("whole", "stopped"))
    assert [replace(one, seconds=0) for one in whole] == [replace(one, seconds=0) for one in resumed]


def test_several_processes_share_the_work(plans, command_line):
    (plans / "comparison" / "shared.yaml").write_text(SMALL)
    given = ["--config-dir", str(plans), "+comparison=shared", *TINY]
    outcome = command_line("compare", *given, f"out={plans / 'shared'}", "processes=2")
    assert outcome.status == 0, outcome.text
    folder = plans / "shared" / "shared"
    assert (folder / "helpers" / "1.log").exists()
    both = (folder / "run.log").read_text()
    assert both.count(" train random, seed ") == both.count(" evaluate random, seed ") == 2
    assert len(Results.load(folder).trained) == 2


def test_a_training_can_be_evaluated_by_itself(done, plans, command_line):
    training = next((done / "trainings").iterdir())
    outcome = command_line(
        "evaluate", f"from={training}", "trainer=debug", "evaluate.eps_curve=[]", f"out={plans / 'other'}"
    )
    assert outcome.status == 0, outcome.text
    (folder,) = (plans / "other").iterdir()
    assert RunFolder.open(folder).is_complete


@pytest.mark.parametrize("launcher", [None, "here"])
def test_a_row_that_fails_leaves_the_others_alone_and_is_tried_again(plans, command_line, monkeypatch, launcher):
    """Done by this process, or launched by Hydra as the plan says, in this process again."""
    rows = SMALL.replace("random: 1 }]", "random: 1 }, { name: same, random: 1 }]")
    if launcher is not None:
        (plans / "hydra" / "launcher").mkdir(parents=True)
        basic = "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n"
        (plans / "hydra" / "launcher" / f"{launcher}.yaml").write_text(basic)
        rows += f"defaults: [{{ override /hydra/launcher: {launcher} }}]\n"
    (plans / "comparison" / "failing.yaml").write_text(rows)
    out = plans / f"failing_{launcher}"
    given = ["--config-dir", str(plans), "+comparison=failing", *TINY, f"out={out}"]
    step, begun = RetrainModule.training_step, []

    def failing(module, batch, batch_idx):
        begun.append(module.seed)
        if module.seed == 1:
            raise NonFiniteError("The loss became nan.")
        step(module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(RetrainModule, "training_step", failing)
        outcome = command_line("compare", *given)
    assert outcome.status == 2
    assert begun == [0, 1]  # once, though two rows have the cell
    results = Results.load(out / "failing")
    assert list(results.failures.values()) == ["The loss became nan."]
    assert [one.seed for one in results.trained] == [0]
    assert "1 of its runs are not done yet" in (out / "failing" / "table.html").read_text()
    log = (out / "failing" / "run.log").read_text()
    assert log.count("2 launched: ") == (0 if launcher is None else 1)
    assert command_line("compare", *given).status == 0
    assert [one.seed for one in Results.load(out / "failing").trained] == [0, 1]
