"""Networks that copy, broadcast, permute, alias, slice, pad and reuse values are followed soundly, or refused."""

from itertools import product

import pytest
import torch

from dsrna.bounds.engines import ENGINES, bound_engine
from dsrna.errors import MissingPartError, UnsupportedError
from dsrna.testing.bound_conformance import check_bounds, check_bounds_or_refusal
from dsrna.testing.moving_networks import FOLLOWED, MOVING_SHAPE, REFUSED, MovingNetwork, random_moving_network
from tests.thorough import thorough

NORMS = {"linf": 0.05, "l2": 0.2}
OURS = ["ibp", "crown_ibp", "crown"]


def images():
    return torch.rand(3, *MOVING_SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rows():
    """Every engine on every step, in one norm or the other; in both where there is time."""
    for (row, step), (place, engine), norm in product(enumerate(FOLLOWED), enumerate(OURS), NORMS):
        quick = norm == list(NORMS)[(row + place) % 2]
        yield (step, engine, norm) if quick else thorough(step, engine, norm)


@pytest.mark.parametrize(("step", "engine", "norm"), [*rows()])
def test_what_is_followed_is_sound(step, engine, norm):
    model = MovingNetwork([FOLLOWED[step]], on_image=norm == "l2")  # as it is the l_2 ball that is carried along
    check_bounds(bound_engine(engine, norm), norm, model, images(), NORMS[norm], monotone=engine == "ibp")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("step", REFUSED)
def test_what_cannot_be_followed_is_refused(step, engine):
    for on_image in (True, False):
        with pytest.raises(UnsupportedError, match="No bound is known for"):
            bound_engine(engine, "l2")(MovingNetwork([REFUSED[step]], on_image=on_image), images(), 0.2)


@pytest.mark.parametrize("step", FOLLOWED)
def test_the_reference_is_sound_or_refuses(step):
    try:
        bound = bound_engine("auto_lirpa_crown_ibp", "l2")
    except MissingPartError as error:
        pytest.skip(str(error))
    model = MovingNetwork([FOLLOWED[step]], on_image=True)
    check_bounds_or_refusal(bound, "l2", model, images(), 0.2, monotone=False)


@pytest.mark.parametrize("seed", [*range(12), 59])
def test_random_networks_are_bounded_soundly_or_refused(seed):
    """The first thousand were tried once; these are kept."""
    model = random_moving_network(seed)
    norm = list(NORMS)[seed % 2]
    for engine in OURS:  # in 59, CROWN narrowed an image's intervals where only its batch mates' needed it
        check_bounds_or_refusal(
            bound_engine(engine, norm), norm, model, images(), NORMS[norm], monotone=engine == "ibp"
        )


def test_most_random_networks_are_followed():
    followed = 0
    for seed in range(40):
        try:
            bound_engine("ibp", "l2")(random_moving_network(seed), images(), 0.1)
            followed += 1
        except UnsupportedError:
            pass
    assert followed >= 30
