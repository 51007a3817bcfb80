"""What an evaluation will cost, by hand, for a known speed of its passes."""

import pytest

from dsrna.config.compose import compose, settings_from
from dsrna.evaluation import FoolboxPGD, Square
from dsrna.runs.sources import load_splits
from dsrna.spaces.genotype_source import read_genotype
from dsrna.stages import evaluating_cost, evaluation_passes
from dsrna.stages.evaluation_passes import attack_passes, plain_measurements
from dsrna.stages.retrain import describe
from dsrna.stages.stage_cost import CostRange
from dsrna.types import Threat

TYPED = ["retrain.cells=1", "retrain.channels=2", "trainer.limits.attacks=[fgsm,pgd20]", "evaluate.eps_curve=[0.01]"]
IMAGES, A_FORWARD, A_BACKWARD = 360, 1.0, 100.0


def settings_of(*overrides):
    return settings_from(compose("evaluate", [*TYPED, "evaluate.verify=null", *overrides]))


@pytest.fixture(scope="module")
def splits():
    return load_splits(settings_of())


def cost(splits, *overrides, **further):
    settings = settings_of(*overrides)
    description = describe(settings, splits, read_genotype("RNAS"))
    return evaluating_cost.evaluating_cost(settings, splits, description, **further)


@pytest.fixture
def _known_speed(monkeypatch):
    monkeypatch.setattr(evaluating_cost, "pass_seconds", lambda *_: (A_FORWARD, A_BACKWARD))
    monkeypatch.setattr(evaluation_passes, "working_seconds", lambda _: 0.0)


@pytest.mark.usefixtures("_known_speed")
def test_every_pass_of_every_measurement_counts_for_every_network(splits):
    found = cost(splits)
    # FGSM goes back once, PGD-20 as attack, at the one eps of the curve and at a large eps; forwards: these, the image
    # and where each attack ends
    backwards, least = 1 + 3 * 20, 1 + 1 + 3 * 20
    assert IMAGES * (100 * backwards + least) <= found.seconds.high <= IMAGES * (100 * backwards + 2 * least)
    two = cost(splits, networks=2)  # and what one does to the other
    assert two.seconds.high - 2 * found.seconds.high == pytest.approx(2 * 20 * IMAGES * 100, rel=0.05)
    one_falls = cost(splits, networks=2, undefended=1).seconds
    assert one_falls == CostRange(two.seconds.low, (two.seconds.low + two.seconds.expected) / 2, pytest.approx(
        (two.seconds.expected + two.seconds.high) / 2
    ))  # fmt: skip
    assert cost(splits, others=CostRange(0.5, 1, 3)).seconds.high == pytest.approx(3 * found.seconds.high)


def test_corruptions_rotations_and_noise_are_forward_passes(splits):
    settings = settings_of(
        "+evaluate.smoothing._target_=dsrna.verification.smoothing.Smoothing",
        "+evaluate.spatial={_target_: dsrna.evaluation.spatial.SpatialGrid, images: 7, rotations: 3, translations: 5}",
    )
    found = {one.label: (one.images, one.passes.forwards) for one in plain_measurements(settings, splits)}
    assert found == {"clean images": (IMAGES, 1), "rotations and shifts": (7, 3 * 5 * 5), "smoothing": (100, 10_100)}


def test_images_that_fall_at_once_cost_less_where_an_attack_stops_for_them():
    threat, shape = Threat("linf", 0.1), (1, 8, 8)
    withstood, fell = (attack_passes(Square(queries=200), threat, shape, 10, each) for each in (True, False))
    assert fell.forwards < 0.1 * withstood.forwards
    always = [attack_passes(FoolboxPGD(steps=5), threat, shape, 10, each)[:2] for each in (True, False)]
    assert always[0] == always[1]
