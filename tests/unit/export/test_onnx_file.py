"""ONNX files compute what the network computes, or aren't written."""

import pytest
import torch
from torch import nn

from dsrna.bounds.lowering.lower import lower
from dsrna.errors import ConfigError, MissingPartError, UnsupportedError
from dsrna.export import onnx_file
from dsrna.export.onnx_file import onnx_logits, require_onnx, write_onnx
from dsrna.nn.operations import OPERATIONS

needs_onnx = pytest.mark.skipif(
    any(onnx_file.util.find_spec(name) is None for name in onnx_file.PACKAGES), reason="needs dsrna[export]"
)


def network(*operations):
    """In training mode, with running statistics of its own; dropout would change the logits if it were on."""
    torch.manual_seed(0)
    parts = [OPERATIONS[name](4, 4, 1, True) for name in operations]
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), *parts, nn.Dropout(), nn.Flatten(), nn.Linear(64, 3))
    for _ in range(3):
        model(torch.rand(8, 1, 6, 6))
    return model


def images():
    return torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@needs_onnx
@pytest.mark.slow
def test_onnxruntime_gives_the_networks_logits_in_evaluation_mode(tmp_path):
    model = network("avg_pool_3x3", "max_pool_3x3", "sep_conv_3x3", "dil_conv_5x5")
    write_onnx(tmp_path / "a.onnx", model, images())
    assert all(module.training for module in model.modules())
    other = torch.rand(5, 1, 6, 6)
    torch.testing.assert_close(onnx_logits(tmp_path / "a.onnx", other), model.eval()(other).detach())
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"], "weights are inside"


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e-10])
def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch, scale):
    right, model = onnx_file._run, network()
    with torch.no_grad():
        model[-1].weight *= scale
        model[-1].bias *= scale
    write_onnx(tmp_path / "right.onnx", model, images())
    (tmp_path / "right.onnx").unlink()
    monkeypatch.setattr(onnx_file, "_run", lambda model, x: right(model, x) + 0.01 * scale)
    with pytest.raises(UnsupportedError, match=rf"difference of {0.01 * scale:g}"):
        write_onnx(tmp_path / "a.onnx", model, images())
    assert list(tmp_path.iterdir()) == []


@needs_onnx
@pytest.mark.slow
def test_other_tools_know_the_operations_and_versions_of_a_file_and_it_names_no_path_of_this_machine(tmp_path):
    import onnx

    model = network("avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3").eval()
    write_onnx(tmp_path / "a.onnx", lower(model, images(), without_concat=True), images())
    file = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert (file.ir_version, [(one.domain, one.version) for one in file.opset_import]) == (8, [("", 18)])
    assert {node.op_type for node in file.graph.node} == {"Conv", "Gemm", "Relu", "Add", "Flatten"}
    assert b"/dsrna/" not in (tmp_path / "a.onnx").read_bytes()
    assert b".py" not in (tmp_path / "a.onnx").read_bytes()


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(onnx_file.util, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(MissingPartError, match=r"needs onnxruntime, .*pip install 'dsrna\[export\]'"):
        require_onnx()


@needs_onnx
@pytest.mark.slow
def test_any_number_of_images_by_the_opset_that_is_asked_for(tmp_path):
    import onnx
    import onnxruntime

    model = network("sep_conv_3x3").eval()
    difference = write_onnx(tmp_path / "a.onnx", model, images(), opset=20, any_batch=True)
    file = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert [(one.domain, one.version) for one in file.opset_import] == [("", 20)]
    assert file.ir_version == onnx.helper.find_min_ir_version_for(file.opset_import)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert difference < 1e-5
    for count in (1, 2, 5):
        other = torch.rand(count, 1, 6, 6)
        (logits,) = session.run(None, {"x": other.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), model(other).detach())


@needs_onnx
@pytest.mark.parametrize("opset", [17, 99])
def test_an_opset_that_can_not_be_written_is_refused_before_the_work(opset, tmp_path):
    with pytest.raises(ConfigError, match=r"opset from 18 to \d+, got"):
        write_onnx(tmp_path / "a.onnx", network(), images(), opset=opset)
