"""``python -m dsrna export``: what it writes is the network and the property that were asked for."""

from decimal import Decimal
from pathlib import Path

import pytest
import torch

from dsrna.__main__ import main
from dsrna.config.compose import compose, settings_from
from dsrna.export import onnx_file
from dsrna.export.vnnlib import from_vnnlib
from dsrna.runs.sources import load_splits
from dsrna.spaces.darts.published import published
from dsrna.stages.retrain import describe
from dsrna.training.trained_network import build_network, save_network

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
SETTINGS = ["retrain.cells=1", "retrain.channels=2", "data.test_limit=40"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A network for digits, with running statistics of its own, as a checkpoint."""
    settings = settings_from(compose("evaluate", SETTINGS))
    splits = load_splits(settings)
    torch.manual_seed(0)
    description = describe(settings, splits, published("DARTS_V1"))
    network = build_network(description)
    network(splits.train.batch(torch.arange(64))[0])
    path = tmp_path_factory.mktemp("trained") / "best.ckpt"
    save_network(path, description, network.state_dict(), "standard training", {})
    return path, network.eval(), splits.test.batch(torch.arange(3))


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--as-is"]], ids=["lowered", "as it is"])
def test_network_and_properties(checkpoint, form, tmp_path, capsys):
    path, network, (x, y) = checkpoint
    arguments = [f"from={path}", *SETTINGS, "threat.eps=0.25", "--images", "3", "--timeout", "60"]
    assert main(["export", *arguments, "--out", str(tmp_path / "out"), *form]) == 0
    assert "3 images of scikit-learn digits" in capsys.readouterr().out
    folder = tmp_path / "out"
    names = [f"image_0000{index}.vnnlib" for index in range(3)]
    assert sorted(file.name for file in folder.iterdir()) == [*names, "instances.csv", "network.onnx"]
    assert (folder / "instances.csv").read_text() == "".join(f"network.onnx,{name},60\n" for name in names)
    torch.testing.assert_close(onnx_file.onnx_logits(folder / "network.onnx", x), network(x).detach())
    for image, label, name in zip(x, y.tolist(), names, strict=True):
        claim = from_vnnlib((folder / name).read_text())
        assert (claim.label, claim.classes) == (label, 10)
        pixels = [Decimal(value) for value in image.flatten().tolist()]
        for pixel, lower, upper in zip(pixels, claim.lower, claim.upper, strict=True):
            assert 0 <= max(pixel - Decimal("0.25"), Decimal(0)) - lower < Decimal("1e-18")
            assert 0 <= upper - min(pixel + Decimal("0.25"), Decimal(1)) < Decimal("1e-18")


@pytest.mark.parametrize("turn", range(4))
def test_options_may_stand_before_between_and_after_overrides(monkeypatch, turn, tmp_path):
    """README has `export from=… --network certified --images 50 threat.eps=0.05`."""
    calls = []
    monkeypatch.setattr("dsrna.stages.export.export", lambda *given, **_: calls.append(given) or (tmp_path, "what"))
    words = [["from=x"], ["--network", "certified", "--images", "50"], ["threat.eps=0.05"], ["--as-is"]]
    assert main(["export", *(word for part in words[turn:] + words[:turn] for word in part)]) == 0
    ((overrides, stage, images, *_),) = calls
    assert (sorted(overrides), stage, images) == (["from=x", "threat.eps=0.05"], "certified", 50)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["threat=l2"], "l_inf"),
        (["--images", "0"], "--images"),
        (["--network", "certfied"], "retrain"),
        (["threat.eps=2"], "threat.eps"),
        (["from=nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_exported_is_one_message_and_status_2(checkpoint, arguments, says, tmp_path, capsys):
    source = [] if "from=nowhere" in arguments else [f"from={checkpoint[0]}"]
    assert main(["export", *source, *SETTINGS, *arguments, "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_for_deployment_both_files_give_the_logits_of_any_number_of_images(checkpoint, tmp_path, capsys):
    import onnxruntime

    path, network, (x, _) = checkpoint
    arguments = [f"from={path}", *SETTINGS, "--images", "3", "--opset", "19", "--out", str(tmp_path / "out")]
    assert main(["export", "--deploy", *arguments]) == 0
    shown = capsys.readouterr().out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["network.onnx", "network.pt2"]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "network.onnx")
    theirs = torch.export.load(tmp_path / "out" / "network.pt2").module()
    for images in (x, x[:1], torch.cat([x, x])):
        expected = network(images).detach()
        torch.testing.assert_close(torch.from_numpy(session.run(None, {"x": images.numpy()})[0]), expected)
        torch.testing.assert_close(theirs(images).detach(), expected)
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith(("torch", "network."))}
    assert list(rows) == ["torch", "network.onnx", "network.pt2"]
    assert all(float(number) > 0 for row in rows.values() for number in row[1:])
    assert float(rows["network.onnx"][0]) < 1e-4
    assert b"/dsrna/" not in (tmp_path / "out" / "network.pt2").read_bytes()


def test_what_model_names_is_exported_too(checkpoint, tmp_path, monkeypatch):
    from dsrna.stages import export

    network, seen = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), []
    (tmp_path / "theirs.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.save(network.state_dict(), "net.pt")
    monkeypatch.setattr(export, "write_onnx", lambda path, model, x, *_, **__: seen.append((path, model(x), x)) or 0.0)
    export.export(["model=theirs:net", "checkpoint=net.pt", *SETTINGS], None, 2, 1.0, None, lowered=False)
    ((path, logits, x),) = seen
    assert path == Path("export/network.onnx")
    assert torch.equal(logits, network(x))
