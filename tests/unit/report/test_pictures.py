"""The curves carry the run's numbers."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsrna.json_files import read_json
from dsrna.report.architecture_plots import draw_architecture, draw_edges
from dsrna.report.certified_plot import draw_certified
from dsrna.report.corruption_plot import draw_corruptions
from dsrna.report.learning_curves import draw_search_curves, draw_training_curves, kept_epoch
from dsrna.report.pictures import draw_pictures
from dsrna.report.robustness_plot import draw_robustness
from dsrna.report.run_data import RunData
from dsrna.report.style import OPERATION_COLOURS, operation_colours
from dsrna.report.surface_plot import draw_surfaces
from dsrna.run_folder import RunFolder
from dsrna.testing.evaluations import example_evaluation
from dsrna.testing.run_folders import PRIMITIVES, build_run_folder, example_genotype


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return build_run_folder(tmp_path_factory.mktemp("run"), epochs=6)


@pytest.fixture(scope="module")
def data(folder: RunFolder) -> RunData:
    return RunData.read(folder)


def curves(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}


def test_training_curves_show_validation_against_training(data: RunData) -> None:
    figure = draw_training_curves(data)
    assert figure is not None
    accuracy, loss, baseline_accuracy, _ = figure.axes
    assert accuracy.get_title(loc="left") == "adversarial training (PGD-7): accuracy"
    assert curves(accuracy)["adversarial, validation"] == data.curve("retrain/val/acc_adv")[1]
    assert curves(accuracy)["adversarial, training"] == data.curve("retrain/train/acc_adv")[1]
    assert curves(baseline_accuracy)["clean, training"] == data.curve("baseline/train/acc")[1]
    assert curves(loss)["training"] == data.curve("retrain/train/loss")[1]
    assert data.evaluation is not None
    for axes, stage in zip(figure.axes[::2], ("retrain", "baseline"), strict=True):
        marked = next(line for line in axes.get_lines() if line.get_label().startswith("weights kept"))
        assert marked.get_xdata()[0] == data.evaluation["networks"][stage]["epoch"] == kept_epoch(data, stage)


def test_surfaces_show_the_margins_and_where_they_are_zero() -> None:
    evaluation = example_evaluation()
    assert draw_surfaces(evaluation) is None
    steps = [-1.0, 0.0, 1.0]
    margins = np.stack([np.add.outer(np.zeros(3), -np.array(steps)) + offset for offset in (0.5, 3.0)])
    result = evaluation["networks"]["baseline"]["result"]
    result["surface"] = {"norm": "linf", "eps": 8 / 255, "steps": steps, "margins": margins.tolist()}
    figure = draw_surfaces(evaluation)
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "along the gradient"]
    for axes, expected in zip(panels, margins, strict=True):
        mesh = next(one for one in axes.collections if (one.get_gid() or "").startswith("surface:baseline"))
        np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(3, 3), expected)
        assert mesh.get_clim() == (-4.0, 4.0)
    assert [len(axes.collections) for axes in panels] == [2, 1]  # the second is right everywhere
    assert panels[0].get_title(loc="left").startswith("standard training; ")


def test_the_marked_epoch_is_the_one_whose_weights_were_evaluated(tmp_path: Path) -> None:
    """Whatever the curves say: with retrain.keep=last the last one is kept, though an earlier one did better."""
    folder = build_run_folder(tmp_path, epochs=4)
    for epoch, record in enumerate(records := folder.read_metrics()):
        assert "kept" not in record
        records[epoch] = record | ({"retrain/kept": 1.0} if record["stage"] == "retrain" else {})
    folder.metrics_jsonl.unlink()
    for record in records:
        folder.append_metrics(record)
    data = RunData.read(folder)
    assert data.evaluation is not None
    robust = data.curve("retrain/val/acc_adv")[1]
    assert robust.index(max(robust)) == data.evaluation["networks"]["retrain"]["epoch"] == 2
    assert kept_epoch(data, "retrain") == 2, "evaluated before training went on"
    data.evaluation["networks"]["retrain"]["epoch"] = 3
    assert kept_epoch(data, "retrain") == 3
    folder.evaluation_json.unlink()
    assert kept_epoch(RunData.read(folder), "retrain") == 3, "the last that was kept"
    assert kept_epoch(RunData.read(folder), "baseline") == 2
    assert kept_epoch(RunData.read(folder), "certified") is None


def test_search_curves_show_loss_accuracy_and_score(data: RunData) -> None:
    figure = draw_search_curves(data)
    assert figure is not None
    loss, accuracy, score = figure.axes
    assert curves(loss)["architecture steps"] == data.curve("search/val/loss")[1]
    assert curves(accuracy)["weight steps"] == data.curve("search/train/acc")[1]
    assert curves(score)["architecture steps"] == data.curve("search/val/score")[1]


def test_step_records_are_no_part_of_curves(folder: RunFolder, tmp_path: Path) -> None:
    other = build_run_folder(tmp_path, ("search",), epochs=2)
    other.append_metrics({"kind": "step", "stage": "search", "epoch": 1, "step": 41, "search/train/loss": 77.0})
    epochs, values = RunData.read(other).curve("search/train/loss")
    assert epochs == [0, 1]
    assert 77.0 not in values


def test_mean_operation_weights_and_entropy(data: RunData) -> None:
    assert data.architecture is not None
    normal, _, entropy, *_ = draw_architecture(data.architecture).axes
    last = data.architecture["epochs"][-1]
    for position, operation in enumerate(PRIMITIVES):
        rows = last["weights"]["normal"]["operations"]
        assert curves(normal)[operation][-1] == pytest.approx(sum(row[position] for row in rows) / 14)
    assert curves(entropy)["normal cell"][-1] == last["entropy"]["normal"]
    assert curves(entropy)["all equal"] == [math.log(8), math.log(8)]


def test_every_edge_has_a_panel_and_derived_ones_are_framed(data: RunData) -> None:
    from matplotlib.colors import to_rgba

    assert data.architecture is not None
    figure = draw_edges(data.architecture, "normal")
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    names = {0: "cₖ₋₂", 1: "cₖ₋₁"}
    assert set(panels) == {f"{names.get(s, s)} → {t}" for t in range(2, 6) for s in range(t)}
    derived = {
        f"{names.get(source, source)} → {target}": operation
        for target, node in enumerate(example_genotype()["cells"]["normal"]["nodes"], start=2)
        for operation, source in node
    }
    for title, axes in panels.items():
        spine = axes.spines["left"]
        if title in derived:
            assert spine.get_edgecolor() == to_rgba(OPERATION_COLOURS[derived[title]])
        else:
            assert spine.get_linewidth() == 0
    assert panels["4 → 5"].get_title(loc="right") == f"{1.5 / 5:.2f}"


def test_robust_accuracy_against_eps_starts_at_the_clean_accuracy() -> None:
    evaluation = example_evaluation()
    figure = draw_robustness(evaluation)
    assert figure is not None
    drawn = {line.get_gid(): line for line in figure.axes[0].get_lines()}
    for name, network in evaluation["networks"].items():
        curve = network["result"]["curve"]
        assert list(drawn[name].get_xdata()) == [0.0, *(record["eps"] for record in curve)]
        clean = network["result"]["clean"]["accuracy"]
        assert list(drawn[name].get_ydata()) == [clean, *(record["accuracy"] for record in curve)]
    assert list(drawn["threat"].get_xdata()) == [0.1, 0.1]
    bands = {band.get_gid(): band for band in figure.axes[0].collections}
    heights = bands["band:retrain"].get_paths()[0].vertices[:, 1]
    intervals = [record["interval"] for record in evaluation["networks"]["retrain"]["result"]["curve"]]
    assert heights.min() == min(low for low, _ in intervals)


def test_what_is_undecided_lies_between_what_is_certified_and_what_is_attacked() -> None:
    evaluation = example_evaluation()
    figure = draw_certified(evaluation)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == [n["title"] for n in evaluation["networks"].values()]
    for axes, (name, network) in zip(figure.axes, evaluation["networks"].items(), strict=True):
        verification = network["verification"]
        correct = verification["correct"] / verification["images"]
        drawn = {line.get_gid(): line for line in axes.get_lines()}
        for key, kind in (("certified", "certified"), ("standing", "attacked")):
            line = drawn[f"{kind}:{name}"]
            assert list(line.get_xdata()) == [0.0, *(point["eps"] for point in verification["curve"])]
            assert list(line.get_ydata()) == [correct, *(point[key] for point in verification["curve"])]
        (band,) = [band for band in axes.collections if band.get_gid() == f"undecided:{name}"]
        corners = {(round(x, 9), round(y, 9)) for x, y in band.get_paths()[0].vertices}
        for point in verification["curve"]:
            assert {(point["eps"], round(point[key], 9)) for key in ("certified", "standing")} <= corners
        assert list(drawn["threat"].get_xdata()) == [0.1, 0.1]


def test_the_heat_maps_of_corruptions_hold_every_accuracy() -> None:
    evaluation = example_evaluation()
    figure = draw_corruptions(evaluation)
    assert figure is not None
    for axes, network in zip(figure.axes, evaluation["networks"].values(), strict=True):
        (image,) = axes.get_images()
        records = {(r["corruption"], r["severity"]): r["accuracy"] for r in network["corruptions"]["records"]}
        expected = [[records[name, severity] for severity in (1, 5)] for name in ("fog", "pixelate")]
        np.testing.assert_allclose(image.get_array(), expected)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "5"]
        assert {text.get_text() for text in axes.texts} == {f"{100 * value:.0f}" for value in records.values()}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["fog", "pixelate"]
    for network in evaluation["networks"].values():
        network["corruptions"] = None
    assert draw_corruptions(evaluation) is None


def test_radii_without_a_curve_make_no_picture() -> None:
    evaluation = example_evaluation()
    for network in evaluation["networks"].values():
        network["verification"]["curve"] = []
    assert draw_certified(evaluation) is None


def test_eps_is_shown_in_255ths_where_it_is_one() -> None:
    evaluation = example_evaluation()
    evaluation["threat"]["eps"] = 8 / 255
    for network in evaluation["networks"].values():
        for number, record in enumerate(network["result"]["curve"], start=1):
            record["eps"] = 2 * number / 255
    figure = draw_robustness(evaluation)
    assert figure is not None
    axes = figure.axes[0]
    assert "1/255" in axes.get_xlabel()
    assert axes.texts[0].get_text() == " eps = 8/255"
    line = next(line for line in axes.get_lines() if line.get_gid() == "retrain")
    assert list(line.get_xdata()) == pytest.approx([0, 2, 4, 6, 8, 10, 12])


@pytest.mark.slow
def test_pictures_are_png_files_with_something_on_them(data: RunData, drawn: Any) -> None:
    from matplotlib.image import imread

    with drawn():
        pictures = draw_pictures(data)
    assert [picture.name for picture in pictures] == [
        "robustness",
        "corruptions",
        "certified",
        "cell_normal",
        "cell_reduce",
        "random_cells",
        "search",
        "architecture",
        "alphas_normal",
        "alphas_reduce",
        "training",
    ]
    for picture in pictures:
        pixels = imread(io.BytesIO(picture.content), format="png")
        assert pixels.shape[1] == pytest.approx(picture.width * 192, abs=2)
        assert pixels[..., :3].std() > 0.02


def test_pictures_of_one_epoch_show_its_numbers(tmp_path: Path) -> None:
    data = RunData.read(build_run_folder(tmp_path, ("search", "retrain"), epochs=1))
    figure = draw_training_curves(data)
    assert figure is not None
    assert all(line.get_marker() == "o" for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1)
    assert data.architecture is not None
    edges = draw_edges(data.architecture, "normal")
    layer = edges.axes[0].collections[0].get_paths()[0].vertices
    assert layer[:, 0].max() - layer[:, 0].min() == 1  # an epoch is one wide, not a line of no width


def test_operations_of_other_spaces_get_distinct_colours() -> None:
    colours = operation_colours([*PRIMITIVES, "nor_conv_1x1", "nor_conv_3x3"])
    assert len(set(colours.values())) == 10


@pytest.mark.slow
def test_pictures_leave_pyplot_alone(data: RunData) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from dsrna.report.cell_drawing import draw_cell; from dsrna.report.style import png\n"
        "import dsrna.report; assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules\n"
        "png(draw_cell({'nodes': [[['none', 0], ['none', 1]]], 'concat': [2]}, ''))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_search_only_data_has_no_training_pictures(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("search",), epochs=2)
    assert read_json(folder.architecture_json)["space"] == "darts"
    data = RunData.read(folder)
    assert draw_training_curves(data) is None
    assert draw_search_curves(data) is not None
