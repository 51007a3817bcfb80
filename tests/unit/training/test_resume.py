"""A stage that is killed anywhere and run again ends as one that was left alone, to the last bit."""

import itertools
import json

import pytest
import torch

from dsrna.errors import CheckpointError
from dsrna.metrics.certified import Certified
from dsrna.objectives.fast import FastAdversarial
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.drnas import Drnas
from dsrna.strategies.exponentiated_gradient import ExponentiatedGradient
from dsrna.strategies.gaea import Gaea
from dsrna.strategies.gdas import Gdas
from dsrna.strategies.metric_join import Multiplier
from dsrna.strategies.regularisers.beta_decay import BetaDecay
from dsrna.strategies.regularisers.cost import ExpectedCost
from dsrna.strategies.regularisers.sdarts import Sdarts
from dsrna.strategies.schedules.early_stopping_hessian import EarlyStoppingHessian
from dsrna.strategies.schedules.freezing import Freezing
from dsrna.strategies.schedules.progressive import Progressive
from dsrna.strategies.unrolled import Unrolled
from dsrna.testing.run_comparison import differences
from dsrna.types import Threat
from tests.thorough import thorough

EPOCHS, BATCHES, VALIDATION_BATCHES = 3, 3, 2
EVERY_BATCH = 1e-9  # minutes between checkpoints
EPOCHS_ONLY = 0.0


class Killed(BaseException):
    """Stands for the end of the process."""


SETTINGS = {
    "search, schedule per epoch": ("search", {"schedule": "epoch"}),
    "search, schedule per step, unrolled": (
        "search",
        {"schedule": "step", "strategy": Darts(), "hypergradient": Unrolled("finite_difference"), "metric": False},
    ),
    "search, certified": ("search", {"metric": Certified}),
    "search, drawn and attacked": (
        "search",
        {
            "strategy": Gdas(),
            "metric": False,
            "regularisers": [BetaDecay()],
            "weights_objective": FastAdversarial(Threat("linf", 0.1)),
            "architecture_objective": FastAdversarial(Threat("linf", 0.1)),
        },
    ),
    "search, drawn and perturbed": (
        "search",
        {
            "strategy": Drnas(edge_normalization=True),
            "metric": False,
            "regularisers": [Sdarts("adversarial", steps=1)],
        },
    ),
    "search, exponentiated gradient": (
        "search",
        {
            "strategy": Gaea(edge_normalization=True),
            "metric": False,
            "alphas_optimizer": lambda alphas: ExponentiatedGradient(alphas, lr=1.0),
        },
    ),
    "search, metric joined by a multiplier": ("search", {"metric_join": lambda: Multiplier(0.5, rate=0.5)}),
    "search, watched by schedules": (
        "search",
        {
            "strategy": Darts(),
            "metric": False,
            "schedules": lambda: [EarlyStoppingHessian(0.01, lookback=1, window=1, start=0, iterations=3)],
        },
    ),
    "search, operations frozen": (
        "search",
        {"metric": False, "warmup": 0, "lr": 0.1, "schedules": lambda: [Freezing(-0.25, 2)]},
    ),
    "search, in two stages": (
        "search",
        {
            "metric": False,
            "schedules": lambda: [
                Progressive([0.67], [2], cells=[4], partial_channels=[1], restart_alphas=True, skips=0)
            ],
        },
    ),
    "search, noise beside fused operations": (
        "search",
        {
            "metric": False,
            "space": DartsSpace(nodes=1, primitives=("noise", "skip_connect", "dil_conv_3x3")),
            "implementation": "auto",
        },
    ),
    "retrain, schedule per step": ("retrain", {"schedule": "step"}),
    "retrain, schedule per epoch": ("retrain", {"schedule": "epoch", "ema_decay": 0.0}),
}
MAIN = ["search, schedule per epoch", "retrain, schedule per step"]
main_settings = pytest.mark.parametrize("setting", MAIN)
AROUND_EPOCHS = {0, BATCHES - 1, BATCHES, EPOCHS * BATCHES - 1}


@pytest.fixture
def build(search_stage, retrain_stage):
    """(setting, path) -> the stage, with the weights that ``on_best`` gets written beside its checkpoint."""

    def build(setting, path, **changes):
        kind, arguments = SETTINGS[setting]
        made = {  # what changes in the search: every process has its own
            name: arguments[name]() for name in ("metric", "metric_join", "schedules") if callable(arguments.get(name))
        }
        arguments = arguments | made
        stage = {"search": search_stage, "retrain": retrain_stage}[kind](path, **(arguments | changes))
        if kind == "retrain":
            stage.module._on_best = lambda state, numbers: torch.save(
                {"state_dict": state, "numbers": numbers}, stage.folder.best_checkpoint("retrain")
            )
            stage.last.parent.mkdir(exist_ok=True)
        else:
            stage.module._on_epoch = lambda history: stage.folder.architecture_json.write_text(
                json.dumps(history.to_json())
            )
            stage.last.parent.mkdir(exist_ok=True)
        return stage

    return build


_finished = {}


@pytest.fixture
def finished(build, tmp_path_factory):
    """The folder of the run that nobody killed; only read."""

    def finished(setting):
        if setting not in _finished:
            stage = build(setting, tmp_path_factory.mktemp("whole") / "run")
            stage.run(EPOCHS_ONLY)
            _finished[setting] = stage.folder
        return _finished[setting]

    return finished


def die_at(call, module, name, after=False):
    """Replaces ``module.name`` so that its call number ``call`` (from 0) dies before or after its work."""
    whole, calls = getattr(module, name), iter(range(10**6))

    def dying(*args, **kwargs):
        dies = next(calls) == call
        if dies and not after:
            raise Killed
        result = whole(*args, **kwargs)
        if dies:
            raise Killed
        return result

    setattr(module, name, dying)


def kill(stage, minutes):
    with pytest.raises(Killed):
        stage.run(minutes)


@pytest.mark.slow
@main_settings
@pytest.mark.parametrize(
    "step", [step if step in AROUND_EPOCHS else thorough(step) for step in range(EPOCHS * BATCHES)]
)
def test_killed_at_a_step(build, finished, tmp_path, setting, step):
    """And every batch is taken once, and every epoch validated once."""
    taken, validated = [], []

    def watched():
        stage = build(setting, tmp_path / "run")
        training_step, validation_step = stage.module.training_step, stage.module.validation_step

        def train(batch, batch_idx):
            training_step(batch, batch_idx)
            taken.append((stage.module.current_epoch, batch_idx))

        def validate(batch, batch_idx):
            validated.append((stage.module.current_epoch, batch_idx))
            validation_step(batch, batch_idx)

        stage.module.training_step, stage.module.validation_step = train, validate
        return stage

    stage = watched()
    die_at(step, stage.module, "training_step")
    kill(stage, EVERY_BATCH)
    again = watched()
    again.run(EVERY_BATCH)
    assert differences(finished(setting), again.folder) == []
    assert taken == [(epoch, batch) for epoch in range(EPOCHS) for batch in range(BATCHES)]
    assert validated == [(epoch, batch) for epoch in range(EPOCHS) for batch in range(VALIDATION_BATCHES)]


ELSEWHERE = [
    ("weight_step", True, 4),
    ("weight_step", True, EPOCHS * BATCHES - 1),
    ("validation_step", False, 0),
    ("validation_step", False, EPOCHS * VALIDATION_BATCHES - 1),
    ("finish_epoch", True, 0),  # the record is written, the checkpoint is not
    ("finish_epoch", True, EPOCHS - 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "minutes", "name", "after", "call"),
    [  # each stage at each place, and there with one of the rhythms, in turn
        (row if (i + j + k) % 2 == 0 else thorough(*row))
        for i, place in enumerate(ELSEWHERE)
        for j, minutes in enumerate([EPOCHS_ONLY, EVERY_BATCH])
        for k, setting in enumerate(MAIN)
        for row in [(setting, minutes, *place)]
    ],
)
def test_killed_elsewhere(build, finished, tmp_path, setting, minutes, name, after, call):
    stage = build(setting, tmp_path)
    die_at(call, stage.module, name, after)
    kill(stage, minutes)
    again = build(setting, tmp_path)
    again.run(minutes)
    assert differences(finished(setting), again.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batches", "setting"),
    [row if row[0] == 4 or row[1] in MAIN else thorough(*row) for row in itertools.product((4, 1), SETTINGS)],
)
def test_killed_in_turn(build, finished, tmp_path, batches, setting):
    """After each batch, and after four, which is in the middle of an epoch."""
    lives = 0
    while True:
        stage = build(setting, tmp_path / "run")
        die_at(batches, stage.module, "training_step")
        try:
            stage.run(EVERY_BATCH)
            break
        except Killed:
            lives += 1
    # The last batch of an epoch is saved with its epoch: a life that does no more than that batch gets to the next one.
    assert lives == (EPOCHS * BATCHES - 1) // batches
    assert differences(finished(setting), stage.folder) == []


@pytest.mark.slow
def test_limited_batches_resume_too(search_stage, tmp_path):
    whole = search_stage(tmp_path / "whole", train_batches=5)
    whole.run(limit_batches=2)
    stage = search_stage(tmp_path / "run", train_batches=5)
    die_at(3, stage.module, "training_step")
    with pytest.raises(Killed):
        stage.run(EVERY_BATCH, limit_batches=2)
    again = search_stage(tmp_path / "run", train_batches=5)
    again.run(EVERY_BATCH, limit_batches=2)
    assert again.state()["global_step"] == EPOCHS * 2
    assert differences(whole.folder, again.folder) == []


@pytest.mark.slow
def test_a_finished_stage_is_not_trained_again(search_stage, tmp_path):
    stage = search_stage(tmp_path)
    stage.run()
    before = stage.last.read_bytes()
    again = search_stage(tmp_path)
    die_at(0, again.module, "training_step")
    again.run()
    assert stage.last.read_bytes() == before
    for name, tensor in again.module.state_dict().items():
        assert torch.equal(tensor, stage.module.state_dict()[name]), name
    assert again.module.history.epochs == stage.module.history.epochs


@pytest.mark.slow
@pytest.mark.parametrize("setting", [each if each in MAIN else thorough(each) for each in SETTINGS])
def test_the_same_seed_gives_the_same_run_and_another_seed_another(build, finished, tmp_path, setting):
    again = build(setting, tmp_path / "again")
    again.run(EVERY_BATCH)  # the rhythm of checkpoints changes nothing
    assert differences(finished(setting), again.folder) == []
    other = build(setting, tmp_path / "other", seed=1)
    other.run()
    found = "\n".join(differences(finished(setting), other.folder))
    assert "state_dict" in found
    assert "metrics.jsonl" in found


@pytest.mark.slow
def test_two_seeds_differ_in_batches_and_attacks_also_from_the_same_weights(retrain_stage, tmp_path):
    start = retrain_stage(tmp_path / "0").module.state_dict()
    first, second = retrain_stage(tmp_path / "0", seed=0), retrain_stage(tmp_path / "1", seed=1)
    second.module.load_state_dict(start)
    first.run()
    second.run()
    assert first.folder.read_metrics()[0]["retrain/train/loss"] != second.folder.read_metrics()[0]["retrain/train/loss"]


@pytest.mark.slow
def test_a_checkpoint_of_another_stage_or_run_is_refused(search_stage, tmp_path):
    search_stage(tmp_path).run()
    with pytest.raises(CheckpointError, match="made with other settings"):
        search_stage(tmp_path, fingerprint="g").run()
    stage = search_stage(tmp_path)
    stage.module.stage = "retrain"
    (tmp_path / "retrain").mkdir()
    (tmp_path / "retrain" / "last.ckpt").write_bytes((tmp_path / "search" / "last.ckpt").read_bytes())
    with pytest.raises(CheckpointError, match="of the retrain stage"):
        stage.run()


@pytest.mark.slow
def test_a_checkpoint_of_other_data_is_refused(search_stage, tmp_path):
    search_stage(tmp_path, train_batches=3).run()
    with pytest.raises(
        CheckpointError, match="made with 3 batches an epoch, now there are 4: the data set has changed"
    ):
        search_stage(tmp_path, train_batches=4).run()


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(search_stage, tmp_path, kept):
    stage = search_stage(tmp_path)
    stage.run()
    content = stage.last.read_bytes()
    stage.last.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=r"last.ckpt: it is truncated or damaged.*start a new run"):
        search_stage(tmp_path).run()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["state_dict", "optimizer_states"])
def test_one_wrong_number_in_a_checkpoint_is_refused(search_stage, tmp_path, part):
    stage = search_stage(tmp_path)
    stage.run()
    content = torch.load(stage.last, weights_only=True)
    state = content["state_dict"] if part == "state_dict" else content["optimizer_states"][0]["state"][0]
    name = next(key for key, value in state.items() if torch.is_tensor(value) and value.ndim > 0)
    state[name].view(-1)[0] = 7e25
    torch.save(content, stage.last)
    with pytest.raises(CheckpointError, match=r"last\.ckpt isn't what was written .* digest is wrong"):
        search_stage(tmp_path).run()


@pytest.mark.slow
def test_checkpoints_hold_tensors_and_plain_types_alone(search_stage, retrain_stage, tmp_path):
    def kinds(value):
        if isinstance(value, dict):
            return set().union(*(kinds(item) for pair in value.items() for item in pair)) | {dict}
        if isinstance(value, list | tuple):
            return set().union(*(kinds(item) for item in value)) | {list}
        return {type(value)}

    for stage in (search_stage(tmp_path / "s"), retrain_stage(tmp_path / "r")):
        stage.run()
        plain = {torch.Tensor, dict, list, str, int, float, bool, type(None)}
        assert kinds(stage.state()) - plain <= {type(torch.optim.SGD([torch.zeros(1)]).state_dict())}
        assert "hyper_parameters" not in stage.state()


@pytest.mark.slow
def test_a_cost_that_was_measured_is_not_measured_anew(search_stage, tmp_path):
    def built():
        term = ExpectedCost("latency")
        stage = search_stage(tmp_path, regularisers=[term])
        model = stage.module.model
        term.prepare(stage.module.scheduled.space, model.supernet, model.architecture)
        return stage, term.state()["costs"]

    stage, measured = built()
    die_at(4, stage.module, "training_step")
    kill(stage, EVERY_BATCH)
    again, anew = built()
    assert any(not torch.equal(measured[name], anew[name]) for name in measured)
    again.run(EVERY_BATCH)
    kept = again.module.model.regularisers[0].state()["costs"]
    assert all(torch.equal(measured[name], kept[name]) for name in measured)
    assert "search/arch/relative_latency" in again.folder.read_metrics()[-1]
