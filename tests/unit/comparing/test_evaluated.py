"""What a run folder says of its network."""

import pytest

from dsrna.comparing.evaluated import trained_network
from dsrna.errors import CheckpointError
from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.testing.run_folders import build_run_folder


@pytest.fixture
def folder(tmp_path):
    """An evaluated run whose last attack looked at three of five images."""
    folder = build_run_folder(tmp_path / "run")
    evaluation = folder.read_evaluation()
    result = evaluation["networks"]["retrain"]["result"]
    like = result["records"][0]
    threat = evaluation["threat"]

    def record(attack, outcomes, **more):
        if attack != "worst_case":
            name = "clean" if attack == "clean" else f"{attack}_{threat['norm']}_{threat['eps']:.6g}"
            path = folder.evaluation_dir / "retrain" / f"{name}.json"
            write_json(path, {"outcomes": outcomes, "data": "digest", "images": 5})
        share = outcomes.count("1") / len(outcomes)
        return like | threat | {"attack": attack, "label": attack, "accuracy": share, "images": len(outcomes)} | more

    result["clean"] = record("clean", "11110") | {"eps": 0.0}
    result["records"] = [
        record("strong", "11010"), record("weak", "01110"), record("few", "110"),
        record("worst_case", "01010", attacks=["strong", "weak", "few"]),
    ]  # fmt: skip
    write_json(folder.evaluation_json, evaluation)
    return RunFolder(folder.path)


def test_an_image_stands_where_no_attack_that_looked_at_it_broke_it(folder):
    found = trained_network(folder, "cell", 3, 12.0, "here")
    assert (found.standing, found.right, found.images) == ("01010", "11110", "digest 5")
    assert (found.robust, found.clean) == (0.4, 0.8)
    assert found.accuracies["few, first 3 images"] == pytest.approx(2 / 3)
    assert (found.cell, found.seed, found.seconds, found.folder) == ("cell", 3, 12.0, "here")


def test_what_is_proved_and_moved_stands_beside_the_attacks(folder):
    """Of the made-up evaluation, whose proofs are of 200 images; five are attacked here."""
    evaluation = folder.read_evaluation()
    network, threat = evaluation["networks"]["retrain"], evaluation["threat"]
    (proved,) = [p["certified"] for p in network["verification"]["curve"] if p["eps"] == threat["eps"]]
    found = trained_network(folder, "cell", 3, 12.0, "here").accuracies
    assert found["certified by bounds"] == proved
    assert found["rotated and shifted"] == network["spatial"]["accuracy"]
    assert "certified by smoothing" not in found, "it is of another norm"
    evaluation["threat"] = {"norm": "l2", "eps": network["smoothing"]["curve"][1]["eps"]}
    network["result"]["records"], network["result"]["clean"]["images"] = [], 500
    network["spatial"]["images"] = 100
    write_json(folder.evaluation_json, evaluation)
    found = trained_network(folder, "cell", 3, 12.0, "here").accuracies
    smoothed = network["smoothing"]["curve"][1]
    assert found[f"certified by smoothing, first {smoothed['images']} images"] == smoothed["certified"]
    assert found["rotated and shifted, first 100 images"] == network["spatial"]["accuracy"]
    assert not any(label.startswith("certified by bounds") for label in found)


def test_a_network_that_isnt_evaluated_is_refused(tmp_path):
    folder = build_run_folder(tmp_path / "run", parts=("search", "retrain"))
    with pytest.raises(CheckpointError, match="evaluate stage"):
        trained_network(folder, "cell", 0, None, "here")
