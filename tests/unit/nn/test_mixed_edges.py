"""The faster implementations of a cell's edges against the reference, its modules one by one."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.nn.batch_statistics import normalising_by, noting_batch_statistics
from dsrna.nn.edges.compiled import library as kernels
from dsrna.nn.edges.implementation import use_implementation
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.nn.modes import batchnorm_statistics_frozen
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.types import CellWeights
from tests.thorough import examples

PRIMITIVES = tuple(OPERATIONS)[:10]  # those of the published spaces
ENDS = ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
DOUBLE = {"rtol": 1e-9, "atol": 1e-11}


KINDS = ("compiled", "batched") if kernels.cpp_compiler() else ("batched",)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def pair(kind, channels, stride, partial_channels=1, dtype=torch.float64, primitives=PRIMITIVES):
    """The same edges twice: reference, and a faster way."""
    reference = MixedEdges(ENDS, primitives, channels, lambda source: stride if source < 2 else 1, partial_channels)
    reference.to(dtype)
    fast = copy.deepcopy(reference)
    fast.implementation = kind
    return reference, fast


def case(channels, height, width, images, with_edges, one_hot=False, dtype=torch.float64, primitives=PRIMITIVES):
    inputs = [torch.randn(images, channels, height, width, dtype=dtype) for _ in range(2)]
    operations = torch.rand(len(ENDS), len(primitives), dtype=dtype)
    if one_hot:
        operations = F.one_hot(operations.argmax(dim=1), len(primitives)).to(dtype)
    return inputs, CellWeights(operations, torch.rand(len(ENDS), dtype=dtype) if with_edges else None)


def leaves(inputs, weights):
    inputs = [x.clone().requires_grad_() for x in inputs]
    weights = CellWeights(*(None if w is None else w.clone().requires_grad_() for w in weights))
    return inputs, weights


def results(edges, inputs, weights, sources):
    """Nodes, and gradients of a sum of them that weighs each value differently."""
    assert edges.implementation == "reference" or edges.objection(edges.implementation, inputs, weights) is None
    inputs, weights = leaves(inputs, weights)
    nodes = edges(inputs, weights)[2:]
    wanted = [*inputs, *(w for w in weights if w is not None), *edges.parameters()]
    loss = sum((node * source).sum() for node, source in zip(nodes, sources, strict=True))
    return nodes, torch.autograd.grad(loss, wanted)


def expect_equal(reference, fast, inputs, weights):
    with torch.no_grad(), batchnorm_statistics_frozen(reference):
        sources = [torch.randn_like(node) for node in reference(inputs, weights)[2:]]
    expected, gradients = results(reference, inputs, weights, sources)
    found, fast_gradients = results(fast, inputs, weights, sources)
    # A BatchNorm over a few values that hardly differ enlarges rounding: single values agree to less.
    for value, right in zip([*found, *fast_gradients], [*expected, *gradients], strict=True):
        assert (value - right).norm() <= 1e-6 * right.norm() + 1e-9
    torch.testing.assert_close(dict(fast.named_buffers()), dict(reference.named_buffers()), **DOUBLE)


@pytest.mark.slow
@examples(25)
@given(
    kind=st.sampled_from(KINDS),
    channels=st.sampled_from([2, 3, 4, 6, 8, 12, 16]),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    images=st.integers(1, 4),
    stride=st.sampled_from([1, 2]),
    training=st.booleans(),
    with_edges=st.booleans(),
    one_hot=st.booleans(),
    partial=st.sampled_from([1, 2]),
    seed=st.integers(0, 100),
)
def test_all_implementations_agree(kind, channels, size, images, stride, training, with_edges, one_hot, partial, seed):
    torch.manual_seed(seed)
    reference, fast = pair(kind, channels * partial, stride, partial)
    inputs, weights = case(channels * partial, *size, images, with_edges, one_hot)
    for edges in (reference, fast):
        edges(inputs, weights)  # running statistics that aren't 0 and 1
        edges.train(training)
    expect_equal(reference, fast, inputs, weights)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [4, 8, 16, 20, 24, 32, 48, 64])
def test_every_width_of_vectors_in_single_precision(kind, channels):
    torch.manual_seed(channels)
    reference, fast = pair(kind, channels, 1, dtype=torch.float32)
    inputs, weights = case(channels, 9, 11, 3, False, dtype=torch.float32)
    exact = copy.deepcopy(reference).double()
    sources = [torch.randn(3, channels, 9, 11) for _ in range(2)]
    expected, gradients = results(
        exact, [x.double() for x in inputs], CellWeights(weights.operations.double()), [s.double() for s in sources]
    )
    for edges in (reference, fast):  # both are as far from the exact result
        nodes, found = results(edges, inputs, weights, sources)
        for value, right in zip([*nodes, *found], [*expected, *gradients], strict=True):
            assert (value.double() - right).norm() <= 2e-3 * right.norm() + 1e-6


def test_gradients_that_are_not_needed_are_none_and_the_rest_is_unchanged(kind):
    torch.manual_seed(0)
    reference, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, True)
    for edges in (reference, fast):
        edges.requires_grad_(False)
    _, of_alphas = leaves(inputs, weights)
    alone = [
        torch.autograd.grad(sum(node.square().sum() for node in edges(inputs, of_alphas)[2:]), list(of_alphas))
        for edges in (reference, fast)
    ]
    torch.testing.assert_close(alone[1], alone[0], **DOUBLE)
    images = [x.clone().requires_grad_() for x in inputs]
    alone = [torch.autograd.grad(edges(images, weights)[2].square().sum(), images) for edges in (reference, fast)]
    torch.testing.assert_close(alone[1], alone[0], **DOUBLE)


@pytest.mark.parametrize("training", [True, False])
def test_derivatives_of_gradients_agree_also_after_the_mode_has_changed(kind, training):
    torch.manual_seed(1)
    reference, fast = pair(kind, 4, 2)
    inputs, weights = case(4, 6, 6, 3, True)
    found = []
    for edges in (reference, fast):
        edges(inputs, weights)
        edges.train(training)
        images, of_alphas = leaves(inputs, weights)
        loss = sum(node.square().sum() for node in edges(images, of_alphas)[2:])
        edges.train(not training)
        gradients = torch.autograd.grad(loss, [*images, *of_alphas, *edges.parameters()], create_graph=True)
        slope = sum(gradient.square().sum() for gradient in gradients)
        found.append(torch.autograd.grad(slope, [*images, *of_alphas, *edges.parameters()]))
        assert all(torch.equal(norm, norm) for norm in edges.buffers())
    torch.testing.assert_close(found[1], found[0], rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(dict(fast.named_buffers()), dict(reference.named_buffers()), **DOUBLE)


def test_frozen_statistics_stay_to_the_last_bit(kind):
    _, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, False)
    before = copy.deepcopy(fast.state_dict())
    with batchnorm_statistics_frozen(fast):
        fast(inputs, weights)
    assert all(torch.equal(value, before[name]) for name, value in fast.state_dict().items())
    fast(inputs, weights)
    assert not torch.equal(fast[0].operations[1][1].running_mean, before["0.operations.1.1.running_mean"])


def test_a_weight_that_is_not_a_number_is_not_hidden(kind):
    _, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, False)
    with torch.no_grad():
        fast[0].operations[4][1].weight[0] = float("nan")
    assert fast(inputs, weights)[2].isnan().any()
    inputs[1][0, 0, 0, 0] = float("nan")
    assert fast(inputs, weights)[3].isnan().any()


def test_what_the_faster_ways_do_not_do_goes_to_the_reference(kind):
    reference, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, False)

    def reason():
        torch.testing.assert_close(fast(inputs, weights), reference(inputs, weights), **DOUBLE)
        return fast.objection(kind, inputs, weights)

    assert reason() is None
    norm = fast[0].operations[1][1]
    seen = []
    handle = norm.register_forward_hook(lambda *_: seen.append(1))
    assert "hooks" in reason()
    assert seen
    handle.remove()
    norm.eval()
    reference[0].operations[1][1].eval()
    assert "differ" in reason()
    norm.train()
    reference[0].operations[1][1].train()
    half = [x.bfloat16() for x in inputs]
    about_call = {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        about_call["autocast is on"] = fast.objection(kind, inputs, weights)
    with forward_ad.dual_level():
        about_call["forward-mode derivatives"] = fast.objection(kind, inputs, weights)
    about_call["neither float32 nor float64"] = fast.objection(kind, half, CellWeights(weights.operations.bfloat16()))
    about_call["another precision"] = fast.objection(
        kind, [x.float() for x in inputs], CellWeights(weights.operations.float())
    )
    for says, said in about_call.items():
        assert said is None if kind == "batched" else says in said
    assert reason() is None
    with noting_batch_statistics(fast) as noted:
        fast(inputs, weights)
    assert len(noted) == sum(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    fast.eval()
    with normalising_by(noted):
        assert fast.objection(kind, inputs, weights) == "running statistics that are differentiated"


def test_a_single_value_a_channel_is_refused_as_by_the_reference(kind):
    for edges in pair(kind, 4, 2):
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            edges(*case(4, 2, 2, 1, False))


def test_weights_that_lie_scattered_in_memory_count(kind):
    reference, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, False)
    scattered = CellWeights(weights.operations.T.contiguous().T)
    assert not scattered.operations.is_contiguous()
    expect_equal(reference, fast, inputs, scattered)


def test_an_operation_that_was_replaced_counts(kind):
    reference, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, False)
    fast(inputs, weights)
    for edges in (reference, copy.deepcopy(fast), fast):
        edges[0].operations[3] = torch.nn.Sequential(
            torch.nn.MaxPool2d(3, 1, 1), torch.nn.BatchNorm2d(4, affine=False).double()
        )
        last = edges
    torch.testing.assert_close(last(inputs, weights), reference(inputs, weights), **DOUBLE)
    reference[0].operations[3] = last[0].operations[3] = torch.nn.Tanh()
    assert 3 in last.left(last.fused(kind))[0]
    torch.testing.assert_close(last(inputs, weights), reference(inputs, weights), **DOUBLE)


def test_weights_that_are_put_in_their_place_count(kind):
    reference, fast = pair(kind, 4, 1)
    inputs, weights = case(4, 5, 5, 2, False)
    fast(inputs, weights)
    others = {name: torch.randn_like(parameter) for name, parameter in reference.named_parameters()}
    found = [torch.func.functional_call(edges, others, (inputs, weights)) for edges in (reference, fast)]
    torch.testing.assert_close(found[1], found[0], **DOUBLE)
    for edges in (reference, fast):
        torch.manual_seed(3)
        edges[0].operations[4][1].weight = torch.nn.Parameter(torch.randn(4, 1, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(fast(inputs, weights), reference(inputs, weights), **DOUBLE)


def networks(where, *kinds):
    """The reference's network, and its copies by each kind."""
    torch.manual_seed(0)
    if where == "nasbench201":
        space, strategy, cells = Nasbench201Space(), Darts(), 1
    else:
        space, cells = DartsSpace(nodes=2), 3
        strategy = PCDarts(2) if where == "pcdarts" else Darts()
    supernet = space.supernet((3, 8, 8), 4, cells, 4, strategy.partial_channels)
    reference = RelaxedSupernet(supernet, strategy.initial(space, torch.Generator().manual_seed(0))).double()
    fast = [copy.deepcopy(reference) for _ in kinds]
    for network, kind in zip(fast, kinds, strict=True):
        assert use_implementation(network, kind) == f"{kind} (it was asked for)"
    return reference, *fast


@pytest.mark.slow
@pytest.mark.parametrize("where", ["darts", "pcdarts", "nasbench201"])
def test_eight_steps_of_a_search_are_the_same(where):
    ways = []
    for model in networks(where, *KINDS):
        draws = torch.Generator().manual_seed(1)
        weights = torch.optim.SGD(model.supernet.parameters(), lr=0.05, momentum=0.9, weight_decay=3e-4)
        alphas = torch.optim.Adam(model.architecture.parameters(), lr=0.01, betas=(0.5, 0.999))
        way = []
        for step in range(8):
            x = torch.rand(6, 3, 8, 8, generator=draws, dtype=torch.float64)
            y = torch.randint(4, (6,), generator=draws)
            optimizer = weights if step % 2 else alphas
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            way.append(loss.detach())
        ways.append((torch.stack(way), model.state_dict()))
    (losses, state), *others = ways
    for other_losses, other_state in others:
        torch.testing.assert_close(other_losses, losses, rtol=1e-6, atol=0)
        torch.testing.assert_close(other_state, state, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.skipif("compiled" not in KINDS, reason="no C++ compiler")
def test_the_choice_is_checked_and_said(monkeypatch):
    _, model = networks("darts", "batched")
    for name in ("reference", "textbook"):  # the latter in earlier run folders
        assert use_implementation(model, name) == "reference (it was asked for)"
    assert {cell.edges.implementation for cell in model.supernet.cells} == {"reference"}
    assert use_implementation(model, "auto") == "compiled"
    assert (
        use_implementation(model, "auto", "cuda")
        == "batched (the network runs on cuda, the compiled kernels are for CPUs)"
    )
    with pytest.raises(ConfigError, match=r"search\.implementation"):
        use_implementation(model, "fast")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(kernels, "prebuilt", lambda: None)
    kernels._built.cache_clear()
    with pytest.raises(kernels.KernelsUnavailableError, match=r"no C\+\+ compiler"):
        kernels.availability()
    try:
        assert use_implementation(model).startswith("batched (no C++ compiler was found")
        with pytest.raises(ConfigError, match="can't be had"):
            use_implementation(model, "compiled")
        for cell in model.supernet.cells:
            for edge in cell.edges:
                edge.operations = torch.nn.ModuleList(torch.nn.Tanh() for _ in edge.operations)
        assert use_implementation(model).startswith("reference (no C++ compiler was found")
        assert use_implementation(model).endswith("(none of the operations is known)")
        with pytest.raises(ConfigError, match="none of the operations is known"):
            use_implementation(model, "batched")
    finally:
        kernels._built.cache_clear()


@pytest.mark.parametrize("ends", [((0, 1), (0, 3), (1, 2)), ((0, 2), (0, 1)), ((0, 1), (0, 3)), ((1, 1),)])
def test_edges_that_are_not_grouped_by_ascending_target_are_refused(ends):
    with pytest.raises(ValueError, match="grouped by ascending target"):
        MixedEdges(ends, ("skip_connect",), 4, lambda source: 1)
