"""The auxiliary skip against x added to every edge by hand."""

import pytest
import torch

from dsrna.errors import ConfigError
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.regularisers.auxiliary_skip import AuxiliarySkip


@pytest.mark.parametrize("implementation", ["reference", "auto"])
@pytest.mark.parametrize("kind", ["weights", "architecture"])
@pytest.mark.parametrize("space", ["darts", "nasbench201"])
@pytest.mark.parametrize("progress", [0.0, 0.75])
def test_every_edge_gains_a_fading_skip(relaxed, step_of, images, space, kind, progress, implementation):
    of_space, model = relaxed(space, [AuxiliarySkip(0.8)], implementation)
    model.begin_step(step_of(model, kind, progress))
    found = model(images[0])
    _, plain = relaxed(space)
    skip, beta = of_space.primitives.index("skip_connect"), 0.8 * (1 - progress)
    strides = []

    def add(edge, inputs, output):
        strides.append(edge.stride)
        return output + beta * (inputs[0] if edge.stride == 1 else edge.operations[skip](inputs[0]))

    for module in plain.supernet.modules():
        if isinstance(module, MixedOperation):
            module.register_forward_hook(add)
    torch.testing.assert_close(found, plain(images[0]))
    assert len(strides) > 0
    assert (set(strides) == {1, 2}) == (space == "darts")


@pytest.mark.slow
def test_what_is_recorded_and_validated_has_none(relaxed, step_of, images):
    _, model = relaxed("darts", [AuxiliarySkip()])
    before = model.expected_logits(images[0])
    model.begin_step(step_of(model, "weights", 0.0))
    torch.testing.assert_close(model.expected_logits(images[0]), before)
    assert not torch.allclose(model(images[0]), before)


def test_a_space_without_skips_is_refused():
    space = DartsSpace(nodes=1, primitives=("none", "sep_conv_3x3"))
    with pytest.raises(ConfigError, match="skip_connect, which isn't among the primitives none, sep_conv_3x3"):
        AuxiliarySkip().check(space, Darts().initial(space))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_the_weight_is_positive(weight):
    with pytest.raises(ConfigError, match="`weight` > 0"):
        AuxiliarySkip(weight)
