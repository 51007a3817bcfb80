"""Exported programs give the logits and gradients of what was exported, and run nothing that a file holds."""

import io
import json
import pickle
import zipfile

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.ibp import IBP
from dsrna.errors import DataError, UnsupportedError
from dsrna.training.exported_operators import function_of
from dsrna.training.exported_program import ExportedNetwork

SHAPE = (2, 6, 6)


class Varied(nn.Module):
    """Values of all kinds: constants, several outputs, sizes of the batch, changes in place, a residual sum."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.linear, self.dropout = nn.Linear(4 * 9, 5), nn.Dropout(0.5)
        self.register_buffer("scale", torch.tensor([0.5]), persistent=False)
        self.shift = torch.tensor(0.25)

    def forward(self, x):
        x = self.norm(self.convolution((x - self.shift) / self.scale))
        first, second = x.chunk(2, dim=1)
        largest, _ = first.max(dim=1, keepdim=True)
        y = F.relu(torch.cat([F.gelu(first), second * largest], 1), inplace=True)
        y = self.scale * y
        y += 2 * x
        y = F.avg_pool2d(F.pad(y, (1, 1, 1, 1))[:, :, 1:-1, 1:-1], 2)
        return self.linear(self.dropout(y.view(y.shape[0], -1)))


def chain():
    return nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))


def trained(network):
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value), alpha=0.3)
    return network.eval()


def exported(network, batch=3, dynamic=True, decomposed=False):
    """The bytes of a file."""
    sizes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(network, (torch.rand(batch, *SHAPE),), dynamic_shapes=sizes)
    file = io.BytesIO()
    torch.export.save(program.run_decompositions() if decomposed else program, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def varied():
    torch.manual_seed(0)
    return trained(Varied())


@pytest.fixture(scope="module")
def content():
    torch.manual_seed(0)
    return exported(trained(chain()))


def changed(content, edit=None, **records):
    """The file with another graph, as ``edit`` changes its JSON, and with other records."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name in source.namelist():
            value = source.read(name)
            if name.endswith("models/model.json") and edit is not None:
                graph = json.loads(value)
                edit(graph)
                value = json.dumps(graph).encode()
            file.writestr(name, records.get(name.rpartition("/")[2], value))
    return target.getvalue()


@pytest.mark.parametrize(
    ("batch", "dynamic", "decomposed", "any_batch"),
    [(3, True, False, True), (3, True, True, True), (3, False, False, False), (1, False, False, False)],
)
def test_logits_and_gradients_are_the_modules(varied, batch, dynamic, decomposed, any_batch):
    ours = ExportedNetwork(exported(varied, batch, dynamic, decomposed), "net.pt2").eval()
    assert (ours._batch is None) == any_batch
    for count in (1, 3, 7):
        x = torch.rand(count, *SHAPE).requires_grad_()
        found, expected = ours(x), varied(x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        found, expected = (torch.autograd.grad(logits.square().sum(), x)[0] for logits in (found, expected))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_batch_that_is_written_nowhere_is_no_limit():
    torch.manual_seed(0)
    network = trained(chain())
    ours = ExportedNetwork(exported(network, 2, dynamic=False), "net.pt2")
    assert ours._batch is None
    x = torch.rand(5, *SHAPE)
    assert torch.equal(ours(x), network(x))


class Attentive(nn.Module):
    """Normalisation by groups and layers, and attention written out."""

    def __init__(self):
        super().__init__()
        self.groups, self.layers, self.linear = nn.GroupNorm(1, 2), nn.LayerNorm(18), nn.Linear(36, 5)

    def forward(self, x):
        x = self.layers(self.groups(x).reshape(x.shape[0], 4, 18))
        return self.linear(torch.softmax(x @ x.transpose(1, 2), -1).matmul(x).flatten(1)[:, :36])


@pytest.mark.parametrize("network", [chain(), Attentive()], ids=["chain", "attentive"])
def test_bounds_are_those_of_the_module(network):
    torch.manual_seed(0)
    network, x = trained(network), torch.rand(3, *SHAPE)
    exported_one = ExportedNetwork(exported(network), "net.pt2").eval()
    assert torch.equal(exported_one(x), network(x))
    found, expected = (IBP()(each, x, 0.002) for each in (exported_one, network))
    torch.testing.assert_close(found.lower, expected.lower)
    torch.testing.assert_close(found.upper, expected.upper)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def replaced_target(target):
    def edit(graph):
        graph["graph_module"]["graph"]["nodes"][0]["target"] = target

    return edit


def pickled(config):
    config = json.loads(config)
    next(iter(config["config"].values()))["use_pickle"] = True
    return json.dumps(config).encode()


def test_nothing_that_a_file_holds_is_run(content):
    """What ``torch.export.load`` unpickles, evaluates or calls."""
    bomb = pickle.dumps(Bomb())
    weights = next(
        zipfile.ZipFile(io.BytesIO(content)).read(name)
        for name in zipfile.ZipFile(io.BytesIO(content)).namelist()
        if name.endswith("model_weights_config.json")
    )
    with pytest.raises(
        UnsupportedError, match=r"pickled.*torch\.export\.load in a function of yours.*model=MODULE:NAME"
    ):
        ExportedNetwork(
            changed(content, **{"model_weights_config.json": pickled(weights), "weight_0": bomb}), "net.pt2"
        )

    def expression(graph):
        values = graph["graph_module"]["graph"]["tensor_values"]
        for value in values.values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = "exec(\"raise SystemExit('ran')\")"
        graph["guards_code"] = ["exec(\"raise SystemExit('ran')\")"]

    x = torch.rand(2, *SHAPE)
    plain = ExportedNetwork(content, "net.pt2")(x)
    assert torch.equal(ExportedNetwork(changed(content, expression, **{"model.pt": bomb}), "net.pt2")(x), plain)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "torch.load",
            "torch.hub.load",
            "torch.ops.load_library",
            "_operator.call",
            "math.pow",
            "torch.ops.mine.conv",
        ),
        *("torch.ops.aten.from_file.default", "torch.ops.aten.rand_like.default", "torch.ops.aten.add_.Scalar"),
        *("torch.ops.aten.bernoulli.default", "torch.ops.aten._print.default", "torch.ops.aten.no_such.default"),
        *("torch.ops.aten.set_.source_Tensor", "torch.ops.aten.full.default", "torch.ops.aten.relu.__class__"),
    ],
)
def test_other_functions_are_no_operators(content, target):
    with pytest.raises(UnsupportedError, match=rf"operator {target}"):
        function_of(target)
    with pytest.raises(UnsupportedError, match=rf"No rule for the operator {target}, in net\.pt2"):
        ExportedNetwork(changed(content, replaced_target(target)), "net.pt2")


def test_training_mode_is_refused():
    with pytest.raises(UnsupportedError, match=r"network\.eval\(\)"):
        ExportedNetwork(exported(chain().train()), "net.pt2")
    dropping = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 5))
    with pytest.raises(UnsupportedError, match=r"network\.eval\(\)"):
        ExportedNetwork(exported(dropping.train()), "net.pt2")(torch.rand(2, *SHAPE))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: b"no archive", "what can't be read: BadZipFile"),
        (lambda content: changed(content, lambda graph: graph.pop("graph_module")), "KeyError"),
        (lambda content: changed(content, lambda graph: graph["schema_version"].update(major=99)), "another torch"),
        (lambda content: changed(content, weight_0=b"1234"), "what can't be read: RuntimeError"),
        (lambda content: content[: len(content) // 2], "what can't be read"),
        (lambda content: content.replace(b"models/model.json", b"models/other.json"), "compiled packages"),
    ],
)
def test_files_that_are_no_programs_are_refused(content, spoil, says):
    with pytest.raises(DataError, match=rf"Expected a program of torch\.export\.save in net\.pt2, got .*{says}"):
        ExportedNetwork(spoil(content), "net.pt2")


def test_two_outputs_are_refused():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(72, 5)

        def forward(self, x):
            return self.linear(x.flatten(1)), x

    with pytest.raises(DataError, match="user_output, user_output, where one is expected"):
        ExportedNetwork(exported(Two().eval()), "net.pt2")
