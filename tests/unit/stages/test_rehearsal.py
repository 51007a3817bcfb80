"""What the stages will build is tried on the data's shapes before the first of them starts."""

import time

import pytest
import torch

from dsrna.bounds.engines import ENGINES
from dsrna.bounds.ibp import IBP
from dsrna.config.catalog import choices
from dsrna.config.compose import compose, compose_with_hydra, settings_from
from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.data.splits import split
from dsrna.errors import ConfigError, DataError, GenotypeError, MissingPartError
from dsrna.spaces.darts.published import published
from dsrna.spaces.genotype import Genotype
from dsrna.stages.rehearsal import rehearse
from dsrna.testing.data_roots import ARRAY_SETS


def splits_of(shape=(1, 8, 8), train=200, classes=10, share=0.2):
    def images(count):
        return ArrayImages(torch.zeros(count, *shape, dtype=torch.uint8), torch.arange(count) % classes, classes)

    return split(Source("zeros", "zeros", images(train), images(20)), share, seed=0)


def rehearsed(*overrides, splits=None, genotype=None, stages=("search", "retrain", "evaluate")):
    rehearse(settings_from(compose("search", list(overrides))), splits or splits_of(), stages, genotype)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name for name in choices("experiment") if name != "imagenet_transfer"])
def test_every_experiment_is_rehearsed_at_its_full_size_without_memory(experiment):
    config, of_hydra = compose_with_hydra("search", [f"+experiment={experiment}"])
    classes, (height, width, channels) = ARRAY_SETS.get(of_hydra.runtime.choices.data, (10, (8, 8, 1)))
    splits = splits_of((channels, height, width), train=20 * classes, classes=classes)
    began = time.process_time()
    rehearse(settings_from(config), splits, ("search", "retrain", "evaluate"), None)
    assert time.process_time() - began < 30


def test_a_rehearsal_draws_nothing():
    before = torch.get_rng_state()
    rehearsed()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "stages", "says"),
    [
        (["strategy.partial_channels=3"], ["search"], r"partial_channels.*\(conf: search\)"),
        (["retrain.stem=imagenet"], ["retrain"], r"32 x 32.*\(conf: retrain\)"),
        (
            ["schedule@search.weights_schedule=one_cycle", "search.weights_schedule.total_steps=3"],
            ["search"],
            r"write `auto`.*\(conf: search\.weights_schedule\.total_steps\)",
        ),
        (["search.alphas_optimizer.lr=-1"], ["search"], r"learning rate.*\(conf: search\.alphas_optimizer\)"),
        (["retrain.schedule.total_steps=3"], ["retrain"], r"write `auto`.*\(conf: retrain\.schedule\.total_steps\)"),
        (
            ["retrain.certified=true", "certified.schedule.total_steps=3"],
            ["retrain"],
            r"\(conf: certified\.schedule\.total_steps\)",
        ),
    ],
)
def test_a_stage_is_rehearsed_only_where_it_will_run(overrides, stages, says):
    with pytest.raises(ConfigError, match=says):
        rehearsed(*overrides)
    others = {"search", "retrain"} - set(stages)
    rehearsed(*overrides, stages=others)


@pytest.mark.slow
def test_the_given_genotype_is_what_is_rehearsed():
    rehearsed("space.nodes=3", stages=["retrain"])
    rehearsed(stages=["retrain"], genotype=published("DARTS_V2"))
    with pytest.raises(GenotypeError, match=r"cell is missing.*\(conf: retrain\)"):
        rehearsed(stages=["retrain"], genotype=Genotype("darts", {}))


@pytest.mark.slow
@pytest.mark.parametrize(("eps", "good"), [(8.0, True), (8.01, False), (128, False)])
def test_an_l2_ball_larger_than_the_image_cube_is_refused(eps, good):
    """64 values in [0, 1]: the diagonal is 8."""
    if good:
        rehearsed("threat=l2", f"threat.eps={eps}")
        return
    with pytest.raises(ConfigError, match=rf"at most 8, .* did you mean {eps:g}/255\? \(conf: threat\.eps\)"):
        rehearsed("threat=l2", f"threat.eps={eps}")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["data.augmentation.crop_padding", "retrain.cutout"])
def test_a_margin_or_a_hole_above_the_images_side_is_refused(key):
    rehearsed(f"{key}=8", stages=["retrain"])
    with pytest.raises(ConfigError, match=rf"image's side, 8 pixels, got 9\. \(conf: {key}\)"):
        rehearsed(f"{key}=9", stages=["retrain"])


@pytest.mark.slow
def test_an_engine_that_lacks_its_library_is_missed_before_the_first_stage(monkeypatch):
    class Missing(IBP):
        def bound(self, model, x, eps, y):
            raise MissingPartError("Expected a library, found none: install it.")

    monkeypatch.setitem(ENGINES, "crown", Missing)
    rehearsed("evaluate=certified", "evaluate.verify.engines=[ibp]")
    rehearsed("evaluate=certified", stages=["search", "retrain"])
    with pytest.raises(MissingPartError, match=r"install it\. \(conf: evaluate\.verify\)"):
        rehearsed("evaluate=certified")


@pytest.mark.slow
def test_a_search_needs_two_halves_of_images():
    few = splits_of(train=50, share=0.4)  # 3 of each class to train on: 2 in one half, 1 in the other
    rehearsed(splits=few, stages=["retrain"])
    with pytest.raises(DataError, match=r"step half"):
        rehearsed(splits=few)
