"""Lambda-DARTS's alignment against double backward through every cell's own operation weights."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from dsrna.errors import ConfigError
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.regularisers.alignment import Alignment
from dsrna.types import CellWeights


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["reference", "auto"])
@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_gradient(relaxed, step_of, images, space, implementation):
    of_space, model = relaxed(space, [Alignment(0.3, step=1e-4)], implementation)
    model.begin_step(step_of(model, "weights", 0.5, images))
    weights = list(model.supernet.parameters())
    found = torch.autograd.grad(model.regularisers[0].weights_penalty(), weights, materialize_grads=True)
    _, plain = relaxed(space)
    shared = {name: cell.operations.detach() for name, cell in plain.architecture().items()}
    own = []

    def give(edges, inputs):
        shape = inputs[1].operations.shape
        name = next(name for name, values in shared.items() if values is inputs[1].operations)
        own.append((name, shared[name].clone().requires_grad_()))
        assert own[-1][1].shape == shape
        return inputs[0], CellWeights(own[-1][1])

    for module in plain.supernet.modules():
        if isinstance(module, MixedEdges):
            module.register_forward_pre_hook(give)
    x, y = images
    with batchnorm_statistics_frozen(plain):
        loss = F.cross_entropy(plain.supernet(x, {name: CellWeights(values) for name, values in shared.items()}), y)
    slopes = torch.autograd.grad(loss, [leaf for _, leaf in own], create_graph=True)
    of_types = []
    for name in of_space.cell_types:
        of_type = [slope.flatten() for (own_name, _), slope in zip(own, slopes, strict=True) if own_name == name]
        if len(of_type) > 1:
            pairs = [F.cosine_similarity(a, b, dim=0) for a, b in combinations(of_type, 2)]
            of_types.append(sum(pairs) / len(pairs))
    objective = -0.3 * 0.5 * sum(of_types) / len(of_types)
    expected = torch.autograd.grad(objective, list(plain.supernet.parameters()), materialize_grads=True)
    scale = max(float(gradient.abs().max()) for gradient in expected)
    assert scale > 0
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize(("kind", "progress"), [("architecture", 0.5), ("weights", 0.0)])
def test_nothing_else_is_changed(relaxed, step_of, images, kind, progress):
    _, model = relaxed("nasbench201", [Alignment()])
    model.begin_step(step_of(model, kind, progress, images))
    assert model.regularisers[0].weights_penalty() is None


def test_one_cell_of_a_type_has_nothing_to_align_with():
    space = Nasbench201Space()
    supernet = space.supernet((2, 8, 8), 3, cells=1, channels=4)
    del supernet.blocks[1:]
    with pytest.raises(ConfigError, match="1 cells of 1 types"):
        Alignment().prepare(space, supernet, Darts().initial(space))


@pytest.mark.parametrize("wrong", [{"weight": 0.0}, {"step": float("nan")}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}`"):
        Alignment(**wrong)
