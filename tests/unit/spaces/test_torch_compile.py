"""Gradients of layers that torch.compile made, against eager ones, on maps of even and odd sides.

``DSRNA_THOROUGH=1`` takes the pooling of blocks and the padded one, on all sides from 5 to 33 by one or two graphs
each, of which compiling takes half a minute; without it, tests/unit/functional/test_pooling.py sees that no layer
pools in the way that torch is known to differentiate wrongly. ``DSRNA_EVERY_LAYER=1`` takes all layers;
``DSRNA_EVERY_LAYER=static`` makes a graph for each layer and side, as a run does: hours of compiling. With torch
2.15.0 all 33 layers passed ``DSRNA_EVERY_LAYER=1`` (the auxiliary head in a run of its own, two minutes of one core).
"""

import os

import pytest
import torch

from dsrna.functional.pooling import halved
from dsrna.nn.edges.compiled.library import cpp_compiler
from tests.layers import CHANNELS, layers
from tests.thorough import thorough

SIDES = range(5, 34)
WANTED = os.environ.get("DSRNA_EVERY_LAYER", "")
FIRST = 9
CHOSEN = [thorough("halving"), thorough("avg_pool_3x3, stride 2")]
SIZED = "auxiliary head"
"""The layer that is built for one size. Its instances share their code, so that torch would refuse the ninth graph."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cpp_compiler() is None, reason="torch.compile needs a C++ compiler"),
]


def layer_of(name, side):
    return halved if name == "halving" else layers(side)[name].eval()


def gradient(layer, side):
    draw = torch.Generator().manual_seed(side)
    x = torch.randn(2, CHANNELS, side, side, generator=draw)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    output = layer(x)
    return torch.autograd.grad(output, x, torch.randn(output.shape, generator=draw))[0]


@pytest.mark.timeout(3600 if WANTED else 300)
@pytest.mark.parametrize("name", ["halving", *layers(FIRST)] if WANTED else CHOSEN)
def test_compiled_gradients_are_the_eager_ones(name):
    torch._dynamo.reset()
    torch.manual_seed(0)
    static = WANTED == "static"
    layer = layer_of(name, FIRST)
    compiled = torch.compile(layer, dynamic=not static, fullgraph=True)
    for side in SIDES:
        if static or name == SIZED:
            torch._dynamo.reset()
        if name == SIZED:
            layer = layer_of(name, side)
            compiled = torch.compile(layer, dynamic=not static, fullgraph=True)
        expected = gradient(layer, side)
        torch.testing.assert_close(
            gradient(compiled, side), expected, rtol=1e-4, atol=1e-5, msg=lambda text, side=side: f"side {side}: {text}"
        )
