"""The page of a study, drawn from its folder alone."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import IO, Any

from dsrna.files import write_atomically, write_text, writing_to
from dsrna.json_files import read_document
from dsrna.report.style import png
from dsrna.report.templates import render
from dsrna.run_folder import RunFolder
from dsrna.tuning.pictures import draw_front, draw_history, draw_importances, draw_settings, ended, parameters_of
from dsrna.tuning.result import SCHEMA, VERSION, StudyDocument


def write_study(folder: Path) -> Path:
    """Draws ``plots/*.png`` and ``report.html`` from ``study.json``.

    Returns:
        The page.

    Raises:
        CheckpointError: there is no such file, or it is damaged.
        ConfigError: the folder can't be written to.
    """
    target = RunFolder.open(Path(folder))
    study: Any = read_document(target.study_json, SCHEMA, VERSION, StudyDocument)
    pictures: dict[str, bytes] = {}
    if ended(study):
        pictures = {"history": png(draw_history(study)), "settings": png(draw_settings(study))}
        if any(study["importances"]) and len(parameters_of(study)) > 1:  # of one setting it is all
            pictures["importances"] = png(draw_importances(study))
        if len(study["objectives"]) > 1:
            pictures["front"] = png(draw_front(study))
    with writing_to(target.path):
        for name, content in pictures.items():
            write_atomically(target.plots_dir / f"{name}.png", partial(_write, content))
        write_text(target.report_html, _page(target, study, pictures))
    return target.report_html


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _page(folder: RunFolder, study: StudyDocument, pictures: dict[str, bytes]) -> str:
    best = set(study["best"])
    order = sorted(study["trials"], key=lambda trial: (trial["number"] not in best, _rank(trial["values"])))
    states = [trial["state"] for trial in study["trials"]]
    return render(
        "tuning.html",
        name=study["name"],
        run=folder.read_run(),
        study=study,
        parameters=parameters_of(study),
        trials=order,
        best=best,
        counts=", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        confirmed=[
            (name, found["seeds"], mean(found["measured"]), spread(found["measured"]))
            for name, found in study["confirmation"].items()
        ],
        text=number_text,
        pictures=pictures,
        embed=lambda name: base64.b64encode(pictures[name]).decode(),
    )


def _rank(values: list[float] | None) -> float:
    return float("inf") if values is None else -values[0]


def spread(values: list[float]) -> float | None:
    """The standard deviation; None of one value."""
    return stdev(values) if len(values) > 1 else None


def number_text(value: Any) -> str:
    """A value of a setting or an objective.

    >>> number_text(0.123456), number_text(None), number_text("snas")
    ('0.1235', '', 'snas')
    """
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
