"""The report of searches by queries: page and pictures."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path
from typing import IO

from dsrna.files import write_atomically, write_text, writing_to
from dsrna.report.query_data import QueryData, number_text, spread_text
from dsrna.report.query_plots import draw_curves, draw_fronts, draw_hypervolumes
from dsrna.report.style import png
from dsrna.report.templates import render


def write_query(folder: Path) -> Path:
    """Draws ``plots/*.png`` and ``report.html`` from what a run folder holds.

    Returns:
        The page.

    Raises:
        CheckpointError: it isn't the folder of finished searches, or a file in it is damaged.
        ConfigError: the folder can't be written to.
    """
    data = QueryData.read(Path(folder))
    pictures: dict[str, bytes] = {}
    if data.document["searches"]:
        pictures["curves"] = png(draw_curves(data))
    if data.document["front"] is not None:
        pictures["fronts"] = png(draw_fronts(data))
        pictures["hypervolumes"] = png(draw_hypervolumes(data))
    target = data.folder
    with writing_to(target.path):
        for name, content in pictures.items():
            write_atomically(target.plots_dir / f"{name}.png", partial(_write, content))
        write_text(target.report_html, _page(data, pictures))
    return target.report_html


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _page(data: QueryData, pictures: dict[str, bytes]) -> str:
    document = data.document
    return render(
        "query.html",
        name=data.folder.path.resolve().name,
        folder=data.folder.path,
        run=data.run,
        document=document,
        search=data.search,
        number=number_text,
        spread=spread_text,
        last=lambda spread: None if spread is None else {key: values[-1] for key, values in spread.items()},
        share=lambda spread: {key: values[-1] / document["front"]["hypervolume"] for key, values in spread.items()},
        methods=data.methods,
        guides=data.guides,
        has_genotype=data.folder.genotype_json.exists(),
        pictures=pictures,
        embed=lambda name: base64.b64encode(pictures[name]).decode(),
    )
