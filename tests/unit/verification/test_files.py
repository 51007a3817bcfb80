"""ONNX networks are read as onnxruntime computes them, and properties of them decided."""

import os
from decimal import Decimal

import numpy as np
import pytest
import torch

from dsrna.__main__ import main
from dsrna.bounds.engines import bound_engine
from dsrna.errors import ConfigError, DataError, UnsupportedError
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.vnnlib import to_vnnlib
from dsrna.verification.files import verify_files
from dsrna.verification.onnx_network import OPERATIONS, OnnxNetwork

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def model(nodes, constants, shape):
    """An ONNX model from (operation, inputs, output, attributes)."""
    made = [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    first, last = (helper.make_tensor_value_info(*end) for end in (("x", 1, shape), ("y", 1, None)))  # 1: float32
    graph = helper.make_graph(made, "g", [first], [last], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


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
    return nodes, constants


def test_every_operation_computes_what_onnxruntime_computes_and_can_be_bounded(tmp_path):
    nodes, constants = every_operation()
    assert {kind for kind, *_ in nodes} == set(OPERATIONS)
    made = model(nodes, constants, [1, 2, 3, 3])
    onnx.save(made, tmp_path / "a.onnx")
    network = OnnxNetwork(tmp_path / "a.onnx").eval()
    session = onnxruntime.InferenceSession(made.SerializeToString())
    x = torch.rand(3, 2, 3, 3)
    expected = [torch.from_numpy(session.run(None, {"x": image[None].numpy()})[0]) for image in x]
    torch.testing.assert_close(network(x), torch.cat(expected))
    lower, upper = bound_engine("crown")(network, x, 0.01)
    assert bool(((lower <= network(x)) & (network(x) <= upper)).all())


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
    onnx.save(model([("Softmax", ["x"], "y", {})], {}, [1, 2]), network)
    with pytest.raises(UnsupportedError, match="Softmax"):
        verify_files(network, claim, 1)
    onnx.save(model([("Gemm", ["x", "w2"], "y", {"alpha": 2.0})], {"w2": LAYERS[1]["w2"]}, [1, 2]), network)
    _, claim = files(tmp_path, ("0", "0"), ("1", "1"))
    onnx.save(model([("Gemm", ["x", "w2"], "y", {"alpha": 2.0})], {"w2": LAYERS[1]["w2"]}, [1, 2]), network)
    with pytest.raises(UnsupportedError, match=r"alpha=2\.0"):
        verify_files(network, claim, 1)
