"""Copies of networks are like those of copy.deepcopy."""

import copy

import pytest
import torch
from torch import nn

from dsrna.proxies.working_copy import copied, working_copy
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.proxy_networks import image_batch, plain_network

X, _ = image_batch(dtype=torch.float32)


class Awkward(nn.Module):
    """Everything that a module may hold beside parameters and submodules of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.tied = nn.Linear(4, 4), nn.Linear(4, 4)
        self.tied.weight = self.first.weight
        self.again = self.first
        self.listed, self.named = [self.first], {"tied": (self.tied, 3)}
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("passing", torch.ones(1), persistent=False)
        self.loose, self.missing = torch.ones(3), None
        self.first.bias.requires_grad_(False)
        self.calls = []
        self.first.register_forward_hook(self.note)

    def note(self, module, inputs, output):
        self.calls.append(tuple(output.shape))

    def forward(self, x):
        return self.again(self.listed[0](x)) + self.named["tied"][0](x) + self.loose.sum()


def networks():
    torch.manual_seed(0)
    space = Nasbench201Space()
    yield space.network(space.genotype(1000), (3, 8, 8), 3, cells=1, channels=4)
    yield DartsSpace().network(published("DARTS_V2"), (3, 8, 8), 3, cells=3, channels=4)
    yield nn.Sequential(nn.Flatten(), nn.Linear(192, 4), Awkward(), torch.nn.utils.parametrizations.weight_norm(
        nn.Linear(4, 3)))  # fmt: skip
    yield nn.Sequential(nn.Flatten(), nn.Linear(192, 4), Awkward())


@pytest.mark.parametrize("model", list(networks()), ids=["nasbench201", "darts", "parametrised", "awkward"])
def test_a_copy_is_what_deepcopy_gives(model):
    found, expected = copied(model), copy.deepcopy(model)
    assert [(n, type(m), m.training) for n, m in found.named_modules(remove_duplicate=False)] == [
        (n, type(m), m.training) for n, m in expected.named_modules(remove_duplicate=False)
    ]
    assert found.state_dict().keys() == expected.state_dict().keys()
    theirs = [*model.named_parameters(), *model.named_buffers()]
    ours = [*found.named_parameters(), *found.named_buffers()]
    for (name, tensor), (new, copy_of_it) in zip(theirs, ours, strict=True):
        assert name == new
        assert type(tensor) is type(copy_of_it)
        assert torch.equal(tensor, copy_of_it)
        assert tensor.requires_grad == copy_of_it.requires_grad
        assert tensor.data_ptr() != copy_of_it.data_ptr()
    assert not {id(module) for module in model.modules()} & {id(module) for module in found.modules()}
    with torch.no_grad():
        assert torch.equal(found.eval()(X), expected.eval()(X))


def test_what_a_module_holds_points_into_the_copy():
    model = Awkward()
    found = copied(model)
    assert found.again is found.first is found.listed[0]
    assert found.named["tied"][0] is found.tied
    assert found.tied.weight is found.first.weight
    assert found.loose.data_ptr() != model.loose.data_ptr()
    found(torch.ones(1, 4))
    assert len(found.calls) == 2
    assert model.calls == []


def test_the_first_pass_calibrates_and_no_other():
    """Running statistics become those by which training mode divides, and that pass gives training mode's logits."""
    model = plain_network()
    x, _ = image_batch()
    found = working_copy(model, "calibrated")
    torch.testing.assert_close(found(x), copy.deepcopy(model).train()(x))
    values = model[0](x)
    torch.testing.assert_close(found[1].running_mean, values.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(found[1].running_var, values.var(dim=(0, 2, 3), correction=0))
    before = found[1].running_var.clone()
    torch.testing.assert_close(found(2 * x[:1]), torch.cat([found(2 * x[:1]), found(x)])[:1])
    assert torch.equal(found[1].running_var, before)
    assert not found[1]._forward_pre_hooks
