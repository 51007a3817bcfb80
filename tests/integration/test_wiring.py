"""One small whole run, watched from outside: what reached which step, and whether the files say what happened.

Every image is a pattern of two greys, so an image that a network sees can be told from its pixels, attacked or not, and
how far an attack moved it can be measured. Nothing here asks the pipeline what it meant to do.
"""

import contextlib
import json
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
import torch

from dsrna.evaluation.base import EvaluationAttack
from dsrna.json_files import read_json
from dsrna.nn.normalize import Normalize
from dsrna.run_folder import RunFolder
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.training.stage_module import StageModule
from dsrna.training.trained_network import load_network

pytestmark = pytest.mark.slow

CLASSES, SIDE, DARK, BRIGHT = 4, 8, 64, 192
TRAIN, TEST, VALIDATION = 160, 24, 40
EPS, CURVE = 0.1, (0.05, 0.15)
SEARCH_EPOCHS, WARMUP, BATCH, RETRAIN_EPOCHS = 4, 1, 20, 3

SETTINGS = [
    "data=arrays", f"data.validation_fraction={VALIDATION / TRAIN}", "trainer=cpu", "trainer.progress=off",
    "space.nodes=2", "strategy=darts", f"search.epochs={SEARCH_EPOCHS}", f"search.warmup_epochs={WARMUP}",
    f"search.batch_size={BATCH}", "search.cells=3", "search.channels=4", "search.alphas_optimizer.lr=0.3",
    f"retrain.epochs={RETRAIN_EPOCHS}", f"retrain.batch_size={BATCH}", "retrain.cells=3", "retrain.channels=4",
    "retrain.selection_steps=5", "retrain.baseline=true", "retrain.drop_path=0", "retrain.ema_decay=0",
    "retrain.cutout=0", "objective=pgd", "objective.steps=3", "threat=linf", f"threat.eps={EPS}", "evaluate=quick",
    f"evaluate.eps_curve=[{','.join(map(str, CURVE))}]", "evaluate.batch_size=10", "evaluate.attacks.pgd100=null",
    "evaluate.attacks.autoattack=null", "evaluate.attacks.cw=null", "evaluate.attacks.apgd_dlr=null",
    "evaluate.attacks.square=null", "search.random_cells=0",
]  # fmt: skip


class Seen(NamedTuple):
    """Which images a network saw in one call, and how far they were from what they are in the data."""

    stage: str
    images: tuple[int, ...]
    distance: float


class Watch(NamedTuple):
    """What was seen of a run. ``steps`` has (kind of call, images) of the search; ``weights`` those of each epoch."""

    folder: RunFolder
    steps: list[tuple[str, tuple[int, ...]]]
    inputs: list[Seen]
    weights: dict[str, list[dict[str, torch.Tensor]]]
    attacked: dict[tuple[str, float], list[float]]


def made_up_images():
    """(M, 8, 8) uint8 patterns: random greys, but a row whose pattern is the class's; (M,) labels."""
    draw = np.random.default_rng(5)
    labels = np.arange(TRAIN + TEST) % CLASSES
    patterns = draw.integers(0, 2, (TRAIN + TEST, SIDE, SIDE))
    rows = draw.integers(0, 2, (CLASSES, 3, SIDE))
    patterns[:, :3] = rows[labels]
    return np.where(patterns, BRIGHT, DARK).astype(np.uint8), labels


IMAGES, LABELS = made_up_images()
PIXELS = torch.from_numpy(IMAGES).float().unsqueeze(1) / 255
NUMBER_OF = {(image > 128).tobytes(): number for number, image in enumerate(IMAGES)}
TEST_NUMBERS = set(range(TRAIN, TRAIN + TEST))


def recognised(x):
    """Images (N, 1, 8, 8) -> (their numbers, largest distance in l_inf from what they are in the data)."""
    x = x.detach().float().contiguous()
    numbers = tuple(NUMBER_OF[(image > 0.5).numpy().tobytes()] for image in x[:, 0])
    return numbers, float((x - PIXELS[list(numbers)]).abs().max())


@contextlib.contextmanager
def watching(patch):
    """Yields the lists of :class:`Watch` that fill while a run goes on."""
    steps, inputs, weights, attacked, stage = [], [], defaultdict(list), defaultdict(list), [""]
    set_stage, normalise = RunFolder.set_stage, Normalize.forward
    relaxed, expected = RelaxedSupernet.forward, RelaxedSupernet.expected_logits
    finish, examples = StageModule.finish_epoch, EvaluationAttack.examples

    def noting_stage(self, name, state, *rest):
        stage[0] = name if state == "running" else ""
        return set_stage(self, name, state, *rest)

    def noting_input(self, x):
        if stage[0] in ("retrain", "baseline"):  # the evaluation's largest ball hides which image it was
            inputs.append(Seen(stage[0], *recognised(x)))
        return normalise(self, x)

    def noting_step(self, x):
        if stage[0] == "search":
            learns = any(alpha.requires_grad for alpha in self.architecture.parameters())
            steps.append(("architecture" if learns else "weights", recognised(x)[0]))
        return relaxed(self, x)

    def noting_look(self, x):
        if stage[0] == "search":
            steps.append(("looking", recognised(x)[0]))
        return expected(self, x)

    def noting_weights(self, extra):
        if hasattr(self, "network"):
            weights[self.stage].append({name: t.clone() for name, t in self.network.state_dict().items()})
        return finish(self, extra)

    def noting_examples(self, model, x, y, threat, seed):
        found, correct = examples(self, model, x, y, threat, seed)
        if self.key not in ("pgd20-large-eps", "transfer") and len(x):
            attacked[self.key, threat.eps].append(float((found - x).abs().max()))
        return found, correct

    patch.setattr(RunFolder, "set_stage", noting_stage)
    patch.setattr(Normalize, "forward", noting_input)
    patch.setattr(RelaxedSupernet, "forward", noting_step)
    patch.setattr(RelaxedSupernet, "expected_logits", noting_look)
    patch.setattr(StageModule, "finish_epoch", noting_weights)
    patch.setattr(EvaluationAttack, "examples", noting_examples)
    yield steps, inputs, weights, attacked


@pytest.fixture(scope="module")
def watch(command_line, tmp_path_factory):
    root = tmp_path_factory.mktemp("wiring")
    file, out = root / "patterns.npz", root / "runs"
    parts = {"train": slice(0, TRAIN), "test": slice(TRAIN, None)}
    arrays = {
        f"{kind}_{name}": values[part]
        for name, part in parts.items()
        for kind, values in (("x", IMAGES), ("y", LABELS))
    }
    np.savez(file, **arrays)
    with pytest.MonkeyPatch.context() as patch, watching(patch) as seen:
        outcome = command_line("search", *SETTINGS, f"data.source.path={file}", f"out={out}")
    assert outcome.status == 0, outcome.text
    (path,) = out.iterdir()
    return Watch(RunFolder.open(path), *seen)


@pytest.fixture(scope="module")
def halves(watch):
    """Numbers of the images that weight steps and architecture steps saw."""
    return {kind: {n for k, batch in watch.steps if k == kind for n in batch} for kind, _ in watch.steps}


def records_of(watch, stage):
    return [record for record in watch.folder.read_metrics() if record["stage"] == stage and f"{stage}/lr" in record]


def test_weights_and_alphas_learn_from_disjoint_halves(halves):
    assert not halves["weights"] & halves["architecture"]
    assert len(halves["weights"]) == len(halves["architecture"]) == (TRAIN - VALIDATION) // 2
    assert halves["looking"] == halves["architecture"], "the search's validation loss is that of the alphas' half"


def test_the_search_takes_as_many_steps_as_it_says(watch):
    batches = (TRAIN - VALIDATION) // 2 // BATCH
    kinds = [kind for kind, _ in watch.steps]
    assert kinds.count("weights") == SEARCH_EPOCHS * batches
    assert "architecture" not in kinds[: WARMUP * batches]
    records = records_of(watch, "search")
    assert [record["step"] for record in records] == [batches * (epoch + 1) for epoch in range(SEARCH_EPOCHS)]
    epochs = read_json(watch.folder.architecture_json)["epochs"]
    assert [one["epoch"] for one in epochs] == list(range(SEARCH_EPOCHS))
    assert epochs[0]["weights"] != epochs[1]["weights"], "architecture steps begin after the warm-up"


def test_every_class_has_its_share_of_every_part(halves, watch):
    validation = set(range(TRAIN)) - halves["weights"] - halves["architecture"]
    for part in (halves["weights"], halves["architecture"], validation):
        assert np.bincount(LABELS[list(part)]).tolist() == [len(part) // CLASSES] * CLASSES


def textbook_derivation(weights, edges, primitives, nodes):
    """Per node the two inputs with the largest weight of an operation that is not `none`, and that operation."""
    best = {}
    for (source, target), row in zip(edges, weights, strict=True):
        weight, name = max((w, n) for w, n in zip(row, primitives, strict=True) if n != "none")
        best.setdefault(target, []).append((weight, source, name))
    assert len(best) == nodes
    return [sorted((source, name) for _, source, name in sorted(best[target])[-2:]) for target in sorted(best)]


def test_the_genotype_is_derived_from_the_last_epoch(watch):
    document = read_json(watch.folder.architecture_json)
    first, last = document["epochs"][0], document["epochs"][-1]
    stored = read_json(watch.folder.genotype_json)["cells"]
    for cell, content in stored.items():
        edges = document["cells"][cell]["edges"]
        derived = [
            textbook_derivation(epoch["weights"][cell]["operations"], edges, document["primitives"], nodes=2)
            for epoch in (first, last)
        ]
        nodes = [sorted((source, name) for name, source in node) for node in content["nodes"]]
        assert nodes == derived[1]
        assert derived[0] != derived[1], "otherwise this run can't tell one epoch from another"


def test_the_alphas_in_the_checkpoint_are_those_of_the_last_epoch(watch):
    state = torch.load(watch.folder.last_checkpoint("search"), weights_only=True)["state_dict"]
    last = read_json(watch.folder.architecture_json)["epochs"][-1]["weights"]
    for cell, weights in last.items():
        (alphas,) = [tensor for name, tensor in state.items() if "architecture.alphas" in name and name.endswith(cell)]
        assert torch.allclose(alphas.softmax(-1), torch.tensor(weights["operations"]), atol=1e-6)


@pytest.mark.parametrize("stage", ["retrain", "baseline"])
def test_retraining_learns_from_both_halves_and_selects_on_the_rest(watch, halves, stage):
    seen = {number for one in watch.inputs if one.stage == stage for number in one.images}
    assert not seen & TEST_NUMBERS, "the test split chooses nothing"
    assert seen == set(range(TRAIN))
    validation = set(range(TRAIN)) - halves["weights"] - halves["architecture"]
    mixed = [
        one
        for one in watch.inputs
        if one.stage == stage and set(one.images) & validation and set(one.images) - validation
    ]
    assert not mixed
    chosen = [one.distance for one in watch.inputs if one.stage == stage and set(one.images) <= validation]
    assert max(chosen) == pytest.approx(EPS, abs=1e-6), "selected by attacks in the ball of the threat"


def test_adversarial_training_attacks_in_the_ball_and_the_baseline_not_at_all(watch, halves):
    learned = halves["weights"] | halves["architecture"]
    distance = {
        stage: max(one.distance for one in watch.inputs if one.stage == stage and set(one.images) <= learned)
        for stage in ("retrain", "baseline")
    }
    assert distance["retrain"] == pytest.approx(EPS, abs=1e-6)
    assert distance["baseline"] < 1e-6


@pytest.mark.parametrize(("stage", "first"), [("retrain", "acc_adv"), ("baseline", "acc")])
def test_the_best_checkpoint_is_that_of_the_best_epoch(watch, halves, stage, first):
    records = records_of(watch, stage)
    assert len(records) == len(watch.weights[stage]) == RETRAIN_EPOCHS
    second = {"acc": "acc_adv", "acc_adv": "acc"}[first]
    standing = [(record[f"{stage}/val/{first}"], record[f"{stage}/val/{second}"]) for record in records]
    best = max(range(RETRAIN_EPOCHS), key=lambda epoch: (standing[epoch], epoch))
    network, description, about = load_network(watch.folder.best_checkpoint(stage))
    stored = network.state_dict()
    assert about["numbers"]["epoch"] == best
    assert all(torch.equal(stored[name], tensor) for name, tensor in watch.weights[stage][best].items())
    assert description.genotype == read_json(watch.folder.genotype_json)
    validation = sorted(set(range(TRAIN)) - halves["weights"] - halves["architecture"])
    for epoch, record in enumerate(records):
        network.load_state_dict(watch.weights[stage][epoch])
        assert record[f"{stage}/val/acc"] == pytest.approx(share_right(network, validation), abs=1e-6)


def share_right(network, numbers):
    with torch.no_grad():
        right = network.eval()(PIXELS[list(numbers)]).argmax(1) == torch.from_numpy(LABELS)[list(numbers)]
    return float(right.double().mean())


@pytest.mark.parametrize("stage", ["retrain", "baseline"])
def test_the_evaluation_is_of_the_best_weights_on_the_test_split(watch, stage):
    entry = read_json(watch.folder.evaluation_json)["networks"][stage]
    network, _, _ = load_network(watch.folder.best_checkpoint(stage))
    result = entry["result"]
    assert result["images"] == result["clean"]["images"] == TEST
    assert result["clean"]["accuracy"] == pytest.approx(share_right(network, sorted(TEST_NUMBERS)), abs=1e-9)
    assert entry["parameters"] == sum(np.prod(p.shape) for _, p in network.named_parameters())


def attacks_of(result):
    """The records of attacks that were run, not what was counted from them."""
    return [one for one in result["records"] + result["curve"] if "attacks" not in one]


def test_recorded_radii_are_the_distances_of_the_examples(watch):
    document = read_json(watch.folder.evaluation_json)
    assert document["threat"] == {"norm": "linf", "eps": EPS}
    results = [entry["result"] for entry in document["networks"].values()]
    recorded = {(one["attack"], one["eps"]) for result in results for one in attacks_of(result)}
    assert recorded == {("fgsm", EPS), ("pgd20", EPS), *(("pgd20", eps) for eps in CURVE)}
    assert {(key, round(max(distances), 6)) for (key, _), distances in watch.attacked.items()} == recorded


def test_outcomes_of_single_images_add_up_to_the_accuracies(watch):
    document = read_json(watch.folder.evaluation_json)
    for stage, entry in document["networks"].items():
        clean = read_json(watch.folder.evaluation_dir / stage / "clean.json")["outcomes"]
        outcomes_of = {}
        for record in attacks_of(entry["result"]):
            file = watch.folder.evaluation_dir / stage / f"{record['attack']}_linf_{record['eps']:.6g}.json"
            outcomes = outcomes_of[record["attack"], record["eps"]] = json.loads(file.read_text())["outcomes"]
            assert len(outcomes) == record["images"] == TEST
            assert sum(map(int, outcomes)) / TEST == pytest.approx(record["accuracy"])
            assert all(int(before) >= int(after) for before, after in zip(clean, outcomes, strict=True))
        worst = entry["result"]["records"][-1]
        standing = zip(*(outcomes_of[attack, EPS] for attack in ("fgsm", "pgd20")), strict=True)
        assert worst["accuracy"] == sum(pair == ("1", "1") for pair in standing) / TEST
