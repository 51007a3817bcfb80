"""The result of a run, as rows and as a table on the console."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from dsrna.console import output
from dsrna.report.certified import certified_point
from dsrna.report.evidence import verdict_sentence
from dsrna.report.published import informative_rows, pair_rows, published_title
from dsrna.report.results import threat_text
from dsrna.run_folder import RunFolder


def result_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """One row an attack: label, and the accuracy of each network by its stage name; ``accuracy`` is the first one's."""
    evaluation = folder.read_evaluation()
    if evaluation is None:
        return []
    networks = evaluation["networks"]
    rows: list[dict[str, Any]] = []
    for stage, entry in networks.items():
        own = [entry["result"]["clean"], *entry["result"]["records"]]
        for index, record in enumerate([*own, *entry["result"].get("further", ())]):
            if index == len(rows):
                label = record["label"]
                if index >= len(own):
                    label += f", {threat_text(record['norm'], record['eps'])}"
                if record["images"] < entry["result"]["clean"]["images"]:
                    label += f", first {record['images']}"
                rows.append({"label": label, "accuracy": record["accuracy"]})
            rows[index][stage] = record["accuracy"]
    return rows


def show_result(folder: RunFolder) -> None:
    """Prints the result table and where the report is."""
    console = output()
    rows = result_rows(folder)
    evaluation, verdict = folder.read_evaluation(), folder.read_verdict()
    if rows and evaluation:
        networks, threat = evaluation["networks"], evaluation["threat"]
        title = f"Accuracy on the test split, {threat['norm']} eps {threat['eps']:.4g}"
        if evaluation.get("rehearsal", False):
            title += "\nREHEARSAL (trainer=debug): it shows that the whole pipeline runs; its numbers mean nothing"
        table = Table(title=title)
        table.add_column("")
        for entry in networks.values():
            table.add_column(entry["title"], justify="right")
        for row in rows:
            table.add_row(row["label"], *(f"{100 * row[stage]:.2f} %" for stage in networks))
        points = [certified_point(evaluation, stage) for stage in networks]
        if any(points):
            images = max(point["images"] for point in points if point)
            cells = (f"{100 * point['certified']:.2f} %" if point else "" for point in points)
            table.add_row(f"Certified, first {images}", *cells)
        smoothed = [entry.get("smoothing") for entry in networks.values()]
        if any(smoothed):
            cells = (f"{one['radius']:.3f}" if one else "" for one in smoothed)
            table.add_row("Certified by smoothing, mean l2 radius", *cells)
        means = [(entry.get("corruptions") or {}).get("mean") for entry in networks.values()]
        if any(mean is not None for mean in means):
            table.add_row("Corrupted, mean", *("" if mean is None else f"{100 * mean:.2f} %" for mean in means))
        moved = [entry.get("spatial") for entry in networks.values()]
        if any(moved):
            table.add_row("Rotated and shifted", *(f"{100 * one['accuracy']:.2f} %" if one else "" for one in moved))
        console.print(table)
    if verdict:
        console.print(_verdict_table(verdict))
        if "pair" in verdict:
            console.print(_pair_table(verdict))
    if (sentence := verdict_sentence(folder.read_evidence())) is not None:
        console.print(sentence, soft_wrap=True)
    if (objective := folder.read_run().get("objective")) is not None:
        value = objective["value"]
        shown = f"{100 * value:.2f} %" if "/acc" in objective["name"] else f"{value:.4g}"
        console.print(f"{objective['name']}, on validation images, which sweeps maximise: {shown}", soft_wrap=True)
    page = folder.report_html
    console.print(f"report: {page}" if page.exists() else f"run folder: {folder.path}", soft_wrap=True)


def _verdict_table(document: dict[str, Any]) -> Table:
    table = Table(title=f"Published accuracies of the derived architecture\n{published_title(document)}")
    table.add_column("")
    for name in ("accuracy", "rank", "regret"):
        table.add_column(name, justify="right")
    for row in informative_rows(document):
        table.add_row(
            f"{row['label']}, {row['training']}",
            f"{100 * row['accuracy']:.2f} %",
            f"{row['rank']:,} of {row['classes']:,}",
            f"{100 * row['regret']:.2f} %",
        )
    return table


def _pair_table(document: dict[str, Any]) -> Table:
    table = Table(title="The pair beside cells that need no search")
    table.add_column("")
    for label in document["pair"]["labels"]:
        table.add_column(label, justify="right")
    for name, values in pair_rows(document):
        table.add_row(name, *values)
    return table
