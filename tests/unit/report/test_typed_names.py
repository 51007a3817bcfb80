"""Names that people chose appear in pictures and pages as they typed them."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsrna.files import write_json
from dsrna.report import write_report
from dsrna.report.cell_drawing import draw_cell
from dsrna.report.pictures import draw_figures
from dsrna.report.run_data import RunData
from dsrna.report.style import log_counts, new_figure, png
from dsrna.run_folder import RunFolder
from dsrna.testing.evaluations import example_evaluation
from dsrna.testing.run_folders import build_run_folder, example_genotype

TYPED = "a$x^2$ [b]c[/b] <i>d</i> &amp; $y_1$"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run whose networks, attacks, data and operations have such names."""
    folder = build_run_folder(tmp_path / "run", epochs=2, overrides=[f"x={TYPED}"], command=f"python {TYPED}")
    evaluation = example_evaluation()
    evaluation["data"] = TYPED
    for network in evaluation["networks"].values():
        network["title"] = TYPED
        for record in (*network["result"]["records"], *network["result"]["curve"]):
            record["label"] = TYPED
        network["verification"]["attack"]["label"] = TYPED
    write_json(folder.evaluation_json, evaluation)
    return folder


@pytest.fixture
def painted(drawn: Any) -> Iterator[None]:
    with drawn():
        yield


def pixels(content: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(content), format="png")


@pytest.mark.usefixtures("painted")
def test_dollars_are_drawn_as_dollars() -> None:
    """Against matplotlib's own way of writing a dollar sign."""
    typed, escaped = (new_figure(4, 1) for _ in range(2))
    typed.suptitle(TYPED)
    escaped.suptitle(TYPED.replace("$", r"\$"))
    buffer = io.BytesIO()
    escaped.savefig(buffer, format="png", dpi=192)
    np.testing.assert_array_equal(pixels(png(typed)), pixels(buffer.getvalue()))


@pytest.mark.slow
@pytest.mark.usefixtures("painted")
def test_pictures_say_what_was_typed_and_have_no_mathematics_of_their_own(folder: RunFolder) -> None:
    from matplotlib.text import Text

    texts = {}
    for name, _, _, figure in draw_figures(RunData.read(folder)):
        if figure is None:
            assert name == "surface", "all others have something to draw"
            continue
        png(figure)
        texts[name] = [text for text in figure.findobj(Text) if "$" in text.get_text()]
        assert not any(text.get_parse_math() for text in texts[name])
        assert all(TYPED in text.get_text() for text in texts[name])
    assert {name for name, found in texts.items() if found} == {"robustness", "corruptions", "certified", "training"}


@pytest.mark.slow
@pytest.mark.usefixtures("painted")
def test_operations_are_drawn_as_typed() -> None:
    cell = example_genotype()["cells"]["normal"]
    cell["nodes"][0][0][0] = TYPED
    figure = draw_cell(cell, TYPED)
    png(figure)
    drawn = [text for text in figure.axes[0].texts if text.get_text() == TYPED]
    assert len(drawn) == 2
    assert not any(text.get_parse_math() for text in drawn)


@pytest.mark.usefixtures("painted")
@pytest.mark.parametrize(("last", "expected"), [(6, "2"), (200, "100"), (100_000, "1e4")])
def test_logarithmic_axes_are_labelled_in_plain_numbers(last: int, expected: str) -> None:
    figure = new_figure(5, 2)
    axes = figure.subplots()
    axes.plot([1, last], [0, 1])
    log_counts(axes)
    png(figure)
    shown = [label.get_text() for label in axes.get_xticklabels(which="both") if label.get_text()]
    assert expected in shown
    assert not any("$" in label for label in shown)


@pytest.mark.usefixtures("text_alone")
def test_the_page_says_what_was_typed(folder: RunFolder) -> None:
    import html

    source = write_report(folder.path).read_text(encoding="utf-8")
    assert TYPED not in source  # it is escaped
    assert source.count(html.escape(TYPED)) >= 12
