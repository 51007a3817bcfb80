"""ONNX networks are read as onnxruntime computes them, and properties of them decided."""

import copy
import os
from decimal import Decimal

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionTransformer

from dsrna.__main__ import main
from dsrna.bounds.engines import bound_engine
from dsrna.errors import ConfigError, DataError, UnsupportedError
from dsrna.export.onnx_file import write_onnx
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.vnnlib import to_vnnlib
from dsrna.verification.files import verify_files
from dsrna.verification.onnx_network import OnnxNetwork
from dsrna.verification.onnx_operations import OPERATIONS
from tests.thorough import thorough

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def model(nodes, constants, shape, opset=13):
    """An ONNX model from (operation, inputs, outputs with spaces between, attributes)."""
    made = [
        helper.make_node(kind, inputs, outputs.split(), **attributes) for kind, inputs, outputs, attributes in nodes
    ]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    first, last = (helper.make_tensor_value_info(*end) for end in (("x", 1, shape), ("y", 1, None)))  # 1: float32
    graph = helper.make_graph(made, "g", [first], [last], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def every_operation():
    """One network of all operations that are known."""
    draw = np.random.default_rng(0)

    def normal(*size):
        return draw.normal(size=size).astype(np.float32)

    constants = {
        "mean": normal(1, 2, 1, 1),
        "w1": normal(4, 2, 3, 3),
        "w2": normal(4, 2, 2, 3),
        "b1": normal(4),
        "scale": normal(4),
        "var": draw.random(4).astype(np.float32) + 0.5,
        "half": np.float32(0.5),
        "flat": np.array([1, -1]),
        "m": normal(16, 6),
        "w3": normal(3, 10),
        "b3": normal(3),
    }
    nodes = [
        ("Sub", ["x", "mean"], "a", {}),
        ("Div", ["a", "half"], "b", {}),
        ("Conv", ["b", "w1", "b1"], "c", {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}),
        ("BatchNormalization", ["c", "scale", "b1", "scale", "var"], "d", {"epsilon": 0.01}),
        ("Relu", ["d"], "e", {}),
        ("Conv", ["e", "w2"], "f", {"pads": [0, 1, 1, 1], "group": 2, "strides": [2, 1]}),
        ("MaxPool", ["e"], "g", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 1]}),
        ("Add", ["f", "g"], "h", {}),
        ("LeakyRelu", ["h"], "i", {"alpha": 0.2}),
        ("AveragePool", ["i"], "j", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 2]}),
        ("Sigmoid", ["j"], "k", {}),
        ("Transpose", ["k"], "l", {"perm": [0, 2, 3, 1]}),
        ("Transpose", ["l"], "n", {"perm": [0, 3, 1, 2]}),
        ("GlobalAveragePool", ["n"], "o", {}),
        ("Flatten", ["o"], "p", {}),
        ("Identity", ["n"], "q", {}),
        ("Tanh", ["q"], "r", {}),
        ("Reshape", ["r", "flat"], "s", {}),
        ("Mul", ["s", "half"], "t", {}),
        ("Dropout", ["t"], "u", {}),
        ("MatMul", ["u", "m"], "v", {}),
        ("Concat", ["p", "v"], "z", {"axis": 1}),
        ("Gemm", ["z", "w3", "b3"], "y", {"transB": 1}),
    ]
    return model(nodes, constants, [1, 2, 3, 3])


def operations_of_transformers(opset):
    """A network of those that normalise by an image's own statistics, and of attention."""
    draw = np.random.default_rng(1)

    def normal(*size):
        return draw.normal(size=size).astype(np.float32)

    constants = {
        "grouped": np.array([0, 2, -1]),
        "two": np.float32(2.0),
        "half": np.array([0.5], np.float32),
        "small": np.float32(0.1),
        "axes": np.array([2]),
        "first": np.array([0]),
        "last": np.array([4]),
        "w2": normal(2),
        "b2": normal(2),
        "w4": normal(4),
        "b4": normal(4),
        "w9": normal(9),
        "rows": np.array([0, 4, -1]),
        "groups": normal(4 if opset >= 21 else 2),
        "m": normal(9, 9),
    }
    mean = ({}, ["l", "axes"]) if opset >= 18 else ({"axes": [2]}, ["l"])
    nodes = [
        ("Concat", ["x", "x"], "x4", {"axis": 1}),
        ("Shape", ["x4"], "shape", {}),
        ("Slice", ["shape", "first", "last"], "whole", {}),
        ("Reshape", ["x4", "grouped"], "a", {}),
        ("InstanceNormalization", ["a", "w2", "b2"], "b", {"epsilon": 0.01}),
        ("Reshape", ["b", "whole"], "c", {}),
        ("GroupNormalization", ["c", "groups", "groups"], "d", {"num_groups": 2, "epsilon": 0.1})
        if opset >= 18
        else ("InstanceNormalization", ["c", "w4", "b4"], "d", {}),
        ("Reshape", ["d", "rows"], "e", {}),
        ("LayerNormalization", ["e", "w9"], "f", {"epsilon": 0.1}),
        ("MatMul", ["f", "m"], "g", {}),
        ("Transpose", ["g"], "h", {"perm": [0, 2, 1]}),
        ("MatMul", ["f", "h"], "i", {}),
        ("Softmax", ["i"], "j", {}),
        ("MatMul", ["j", "e"], "k", {}),
        ("Gelu", ["k"], "l", {}) if opset >= 20 else ("Erf", ["k"], "l", {}),
        ("ReduceMean", mean[1], "n", mean[0]),
        ("Sub", ["l", "n"], "o", {}),
        ("Pow", ["o", "two"], "p", {}),
        ("Add", ["p", "small"], "q", {}),
        ("Sqrt", ["q"], "r", {}),
        ("Div", ["o", "r"], "s", {}),
        ("Pow", ["q", "half"], "t", {}),
        ("Sub", ["s", "t"], "u", {}),
        ("Exp", ["u"], "v", {}),
        ("Flatten", ["v"], "y", {}),
    ]
    return model(nodes, constants, [1, 2, 3, 3], opset)


def attention_as_exported(opset):
    """A class token, heads side by side, and tokens before images, for one image."""
    draw = np.random.default_rng(2)

    def normal(*size):
        return draw.normal(size=size).astype(np.float32)

    def axes(*numbers):
        return np.array(numbers)

    constants = {
        "token": normal(1, 1, 2),
        "qkv": normal(2, 12),
        "out": normal(4, 4),
        "bias": normal(4),
        "w": normal(4, 3),
        "rows": axes(0, 2, -1),
        "heads": axes(1, 10, 3, 2, 2),
        "ones": axes(1, 1, 1),
        "first": axes(0),
        "flat": axes(10, 4),
        "again": axes(10, 1, 4),
        "zero": np.array(0),
        "some": axes(0, 2),
    }
    split = (["f", "ones"], {}) if opset < 18 else (["f"], {"num_outputs": 3})
    nodes = [
        ("Reshape", ["x", "rows"], "a", {}),
        ("Transpose", ["a"], "b", {"perm": [0, 2, 1]}),
        ("Concat", ["token", "b"], "c", {"axis": 1}),
        ("MatMul", ["c", "qkv"], "d", {}),
        ("Reshape", ["d", "heads"], "e", {}),
        ("Transpose", ["e"], "f", {"perm": [2, 0, 3, 1, 4]}),
        ("Split", split[0], "q1 k1 v1", {"axis": 0} | split[1]),
        *(("Squeeze", [f"{part}1", "first"], f"{part}2", {}) for part in "qkv"),
        ("Transpose", ["k2"], "k3", {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["q2", "k3"], "g", {}),
        ("Softmax", ["g"], "h", {"axis": -1}),
        ("MatMul", ["h", "v2"], "i", {}),
        ("Transpose", ["i"], "j", {"perm": [2, 0, 1, 3]}),
        ("Reshape", ["j", "flat"], "k", {}),
        ("Gemm", ["k", "out", "bias"], "l", {}),
        ("Reshape", ["l", "again"], "m", {}),
        ("Transpose", ["m"], "n", {"perm": [1, 0, 2]}),
        ("Gather", ["n", "some"], "o", {"axis": 1}),
        ("Gather", ["o", "zero"], "p", {"axis": 1}),
        ("Unsqueeze", ["p", "first"], "q", {}),
        ("Squeeze", ["q", "first"], "r", {}),
        ("MatMul", ["r", "w"], "y", {}),
    ]
    return model(nodes, constants, [1, 2, 3, 3], opset)


def test_every_operation_is_tried():
    made = [every_operation(), attention_as_exported(18), *(operations_of_transformers(opset) for opset in (17, 20))]
    assert {node.op_type for one in made for node in one.graph.node} == set(OPERATIONS)


@pytest.mark.parametrize("opset", [13, 17, 20, 21])
def test_every_operation_computes_what_onnxruntime_computes_and_can_be_bounded(tmp_path, opset):
    made = every_operation() if opset == 13 else operations_of_transformers(opset)
    onnx.save(made, tmp_path / "a.onnx")
    network = OnnxNetwork(tmp_path / "a.onnx").eval()
    session = onnxruntime.InferenceSession(made.SerializeToString())
    x = torch.rand(3, 2, 3, 3)
    expected = [torch.from_numpy(session.run(None, {"x": image[None].numpy()})[0]) for image in x]
    torch.testing.assert_close(network(x), torch.cat(expected))
    lower, upper = bound_engine("crown")(network, x, 0.01)
    assert bool(((lower <= network(x)) & (network(x) <= upper)).all())


@pytest.mark.parametrize("opset", [17, 18])
def test_attention_as_it_is_exported_is_read_for_images_one_by_one(tmp_path, opset):
    made = attention_as_exported(opset)
    onnx.save(made, tmp_path / "a.onnx")
    network = OnnxNetwork(tmp_path / "a.onnx").eval()
    session = onnxruntime.InferenceSession(made.SerializeToString())
    x = torch.rand(3, 2, 3, 3)
    expected = [torch.from_numpy(session.run(None, {"x": image[None].numpy()})[0]) for image in x]
    torch.testing.assert_close(network(x), torch.cat(expected))
    with pytest.raises(UnsupportedError, match="several images at once"):
        bound_engine("ibp")(network, x, 0.01)
    for image in x.split(1):
        lower, upper = bound_engine("crown")(network, image, 0.01)
        reached = network((image + 0.02 * torch.rand(50, 2, 3, 3) - 0.01).clamp(0, 1))
        assert bool(((lower <= reached) & (reached <= upper)).all())


@pytest.mark.slow
def test_torchvisions_transformer_is_decided_from_its_file(tmp_path, capsys):
    torch.manual_seed(0)
    network = TorchvisionTransformer(4, 2, 1, 2, 4, 4, num_classes=3).eval().requires_grad_(False)
    nn.init.normal_(network.heads.head.weight)
    x = torch.rand(1, 3, 4, 4)
    label = int(network(x).argmax())
    write_onnx(tmp_path / "a.onnx", network, x)
    for eps, answer in ((1e-4, "unsat"), (0.9, "sat")):
        low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
        ends = (tuple(Decimal(v) for v in end.flatten().tolist()) for end in (low, high))
        (tmp_path / "a.vnnlib").write_text(to_vnnlib(RobustnessProperty(*ends, label, 3)))
        main(["verify", str(tmp_path / "a.onnx"), str(tmp_path / "a.vnnlib"), "--seconds", "5"])
        assert capsys.readouterr().out.startswith(answer)


LAYERS = (
    [
        ("Flatten", ["x"], "a", {}),
        ("Gemm", ["a", "w1", "b1"], "b", {"transB": 1}),
        ("Relu", ["b"], "c", {}),
        ("Gemm", ["c", "w2"], "y", {}),
    ],
    {
        "w1": np.array([[1, -1], [-1, 1]], np.float32),
        "b1": np.array([0.1, 0.1], np.float32),
        "w2": np.array([[1, 0], [0, 1]], np.float32),
    },
)
"""f_0 - f_1 = relu(d + 0.1) - relu(0.1 - d) with d = x_0 - x_1: above 0 where d > 0."""


def files(tmp_path, low, high, label=0, **version):
    onnx.save(model(*LAYERS, [1, 1, 1, 2]), tmp_path / "a.onnx")
    claim = RobustnessProperty(tuple(map(Decimal, low)), tuple(map(Decimal, high)), label, 2)
    (tmp_path / "a.vnnlib").write_text(to_vnnlib(claim, **version))
    return tmp_path / "a.onnx", tmp_path / "a.vnnlib"


def test_a_box_outside_of_0_to_1_is_decided_on_either_side_of_the_boundary(tmp_path):
    proved = verify_files(*files(tmp_path, ("-2.5", "-3.5"), ("-2.4", "-2.51")), 20)
    assert (proved.answer, proved.point) == ("unsat", None)
    low, high = ("-2.5", "-3.5"), ("-2.4", "-2.49")
    wrong = verify_files(*files(tmp_path, low, high), 20)
    assert wrong.answer == "sat"
    values = wrong.point.flatten().tolist()
    assert all(Decimal(a) <= Decimal(v) <= Decimal(b) for a, v, b in zip(low, values, high, strict=True))
    assert values[0] <= values[1]


def test_what_only_branch_and_bound_finds_is_found_and_no_float_beside_a_box_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("dsrna.verification.files.PGD", lambda *_, **__: lambda model, x, y, draw: x)
    assert verify_files(*files(tmp_path, ("-2.5", "-3.5"), ("-2.4", "-2.49")), 20).answer == "sat"
    no_float = ("0.10000000000000001", "0.3"), ("0.10000000000000002", "0.3")
    assert verify_files(*files(tmp_path, *no_float), 20).answer == "unknown", "no number of float32 lies in it"


@pytest.mark.parametrize("version", [{}, {"version": "2.0", "shape": (1, 1, 2)}])
@pytest.mark.parametrize(("high", "answer"), [("-2.51", "unsat"), ("-2.49", "sat")])
def test_command(tmp_path, capsys, high, answer, version):
    network, claim = files(tmp_path, ("-2.5", "-3.5"), ("-2.4", high), **version)
    assert main(["verify", str(network), str(claim), "--seconds", "20"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == answer
    assert [line.split()[0] for line in rest] == (["X_0", "X_1"] if answer == "sat" else [])


def test_what_cannot_be_decided_is_said(tmp_path):
    network, claim = files(tmp_path, ("0", "0"), ("1", "1"))
    with pytest.raises(ConfigError, match="seconds"):
        verify_files(network, claim, 0)
    with pytest.raises(DataError, match="ONNX"):
        verify_files(claim, claim, 1)
    os.mkfifo(tmp_path / "pipe")
    for not_a_file in ("pipe", "missing", "."):
        for both in ((tmp_path / not_a_file, claim), (network, tmp_path / not_a_file)):
            with pytest.raises(DataError, match="Expected a file"):
                verify_files(*both, 1)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="Expected VNN-LIB text"):
        verify_files(network, tmp_path / "bytes", 1)
    _, three = files(tmp_path, ("0", "0", "0"), ("1", "1", "1"))
    with pytest.raises(DataError, match="Expected 2 inputs"):
        verify_files(network, three, 1)
    for refused, opset in (("Softplus", 13), ("Softmax", 12)):
        onnx.save(model([(refused, ["x"], "y", {})], {}, [1, 2], opset), network)
        with pytest.raises(UnsupportedError, match=refused):
            verify_files(network, claim, 1)
    onnx.save(model([("Gemm", ["x", "w2"], "y", {"alpha": 2.0})], {"w2": LAYERS[1]["w2"]}, [1, 2]), network)
    _, claim = files(tmp_path, ("0", "0"), ("1", "1"))
    onnx.save(model([("Gemm", ["x", "w2"], "y", {"alpha": 2.0})], {"w2": LAYERS[1]["w2"]}, [1, 2]), network)
    with pytest.raises(UnsupportedError, match=r"alpha=2\.0"):
        verify_files(network, claim, 1)


class Residual(nn.Module):
    """Two convolutions with GroupNorm beside an identity, as in a residual network."""

    def __init__(self):
        super().__init__()
        layers = (nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.GroupNorm(2, 4))
        self.block = nn.Sequential(*layers, nn.ReLU(), *(copy.deepcopy(layer) for layer in layers))

    def forward(self, x):
        return torch.relu(x + self.block(x))


class VisionTransformer(nn.Module):
    """Patches with places, one block of attention of two heads and a perceptron, the mean of the tokens."""

    def __init__(self):
        super().__init__()
        self.patches, self.places = nn.Conv2d(1, 4, 2, 2), nn.Parameter(torch.randn(1, 4, 4))
        self.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(3))
        self.heads = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.perceptron = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        count, tokens, channels = x.shape
        query, key, value = (
            head(self.norms[0](x)).reshape(count, tokens, 2, -1).transpose(1, 2) for head in list(self.heads)[:3]
        )
        attended = (query @ key.transpose(-2, -1) * 0.7).softmax(-1) @ value
        x = x + self.heads[3](attended.transpose(1, 2).reshape(count, tokens, channels))
        return self.norms[2](x + self.perceptron(self.norms[1](x))).mean(1)


NETWORKS = {
    "residual": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(1, 4), nn.ReLU(), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
    "transformer": VisionTransformer,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "opset"), [("residual", 17), ("transformer", 17), thorough("residual", 13), thorough("transformer", 13)]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_networks_that_torch_exports_are_decided(tmp_path, kind, opset):
    torch.manual_seed(0)
    head, x = nn.Linear(4, 3), torch.rand(1, 1, 4, 4)
    network = nn.Sequential(NETWORKS[kind](), head).eval().requires_grad_(False)
    head.bias -= network(x)[0] - torch.tensor([0.02, 0.0, 0.0])
    torch.onnx.export(network, (x,), tmp_path / "a.onnx", dynamo=False, opset_version=opset)
    answers = set()
    for eps in (0.002, 0.4):
        low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
        claim = RobustnessProperty(*(tuple(Decimal(v) for v in end.flatten().tolist()) for end in (low, high)), 0, 3)
        (tmp_path / "a.vnnlib").write_text(to_vnnlib(claim))
        verdict = verify_files(tmp_path / "a.onnx", tmp_path / "a.vnnlib", 5)
        answers.add(verdict.answer)
        if verdict.answer == "sat":
            assert bool(((low <= verdict.point) & (verdict.point <= high)).all())
            assert network(verdict.point)[0].argmax() != 0
        else:
            points = torch.lerp(low, high, torch.rand(2000, 1, 4, 4))
            assert bool((network(points).argmax(1) == 0).all())
    assert answers == {"sat", "unsat"}
