"""Networks brought back to size give the logits and the gradients' directions of the ones that aren't."""

import copy

import pytest
import torch
from torch import nn

from dsrna.errors import NonFiniteError
from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.proxies.croze import Croze
from dsrna.proxies.rescaled_network import RescaledNetwork
from dsrna.proxies.stages import stages_of
from dsrna.proxies.working_copy import remove_batch_norm
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.proxy_networks import image_batch

X, Y = image_batch()
STRING = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"


def bare_network(name, factor):
    """Without BatchNorm outside reductions, in double precision; every convolution amplifies by a factor."""
    torch.manual_seed(0)
    if name == "darts":
        model = DartsSpace().network(published("DARTS_V2"), (3, 8, 8), 3, cells=3, channels=4)
    else:
        space = Nasbench201Space()
        model = space.network(space.genotype(STRING), (3, 8, 8), 3, cells=2, channels=4)
    remove_batch_norm(model, keep=ResidualReduction)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(factor)
    return model.double()


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
@pytest.mark.parametrize("factor", [0.1, 1.0, 50.0])
def test_true_logits_and_directions_of_gradients(name, factor):
    model = bare_network(name, factor)
    expected = model(X)
    weights = [p for p in model.parameters() if p.ndim > 1]
    slopes = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = torch.autograd.grad(expected, weights, slopes)

    rescaled = copy.deepcopy(model)
    stages = stages_of(rescaled)
    network = RescaledNetwork(rescaled, stages.blocks, stages.classifier)
    for _ in range(2):  # nothing is left from an earlier pass
        logits, true = network(X)
    torch.testing.assert_close(true, expected.detach(), rtol=1e-10, atol=0)
    assert 1e-4 < logits.detach().abs().max() < 1e4
    ours = torch.autograd.grad(logits, [p for p in rescaled.parameters() if p.ndim > 1], slopes)
    for our, their in zip(ours, theirs, strict=True):
        if their.norm() > 0:
            torch.testing.assert_close(our / our.norm(), their / their.norm(), rtol=0, atol=1e-9)


def test_single_precision_holds_what_grows_beyond_it():
    """Every convolution multiplies by 1e5, all together by more than 1e40."""
    model = bare_network("nasbench201", 1e5)
    expected = model(X).detach()
    assert expected.abs().max() > 1e40
    rescaled = copy.deepcopy(model).float()
    stages = stages_of(rescaled)
    logits, true = RescaledNetwork(rescaled, stages.blocks, stages.classifier)(X.float())
    torch.testing.assert_close(true, expected, rtol=1e-4, atol=float(1e-5 * expected.abs().max()))
    assert logits.isfinite().all()


def test_what_double_precision_cannot_hold_is_refused():
    with pytest.raises(NonFiniteError, match="weights may be too large"):
        Croze()(bare_network("nasbench201", 1e60), X, Y)
