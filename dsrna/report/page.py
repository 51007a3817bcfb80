"""report.html: one page about one run, with everything in it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsrna.files import write_atomically, write_text, writing_to
from dsrna.report.certified import certified_point, certified_row, most_certified, radius_rows
from dsrna.report.corruptions import corruption_rows, corruption_severities
from dsrna.report.evidence import (
    candidate_rows,
    compared_sentences,
    decision_rows,
    edge_rows,
    event_sentences,
    is_alarming,
    moved_sentences,
    rank_rows,
    trained_for_comparison,
    verdict_sentence,
)
from dsrna.report.headline import headline
from dsrna.report.masking import chance_sentences, checked_networks, failed_checks
from dsrna.report.movement import movement
from dsrna.report.pictures import CELL_TITLES, Picture, draw_pictures
from dsrna.report.published import informative_rows, pair_rows, published_title
from dsrna.report.results import (
    Row,
    hundredths,
    objective_text,
    percent,
    result_rows,
    same_attack,
    strongest,
    threat_text,
)
from dsrna.report.run_data import RunData
from dsrna.report.smoothed import smoothed_eps, smoothed_row, smoothed_rows
from dsrna.report.spatial import spatial_row
from dsrna.report.templates import render
from dsrna.run_folder import RunFolder
from dsrna.spaces.notation.writing import published_text


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    value: str
    label: str


def write_report(folder: Path) -> Path:
    """Draws ``plots/*.png`` and ``report.html`` of a run from what its folder holds; parts it lacks are left out.

    Returns:
        The page.

    Raises:
        CheckpointError: ``folder`` is no run folder, or a file in it is damaged or of another version.
        ConfigError: ``folder`` can't be written to.
    """
    run_folder = RunFolder.open(Path(folder))
    data = RunData.read(run_folder)
    pictures = draw_pictures(data)
    page = render("report.html", **_context(run_folder, data, pictures))
    with writing_to(run_folder.path):
        for picture in pictures:
            _write_bytes(run_folder.plots_dir / f"{picture.name}.png", picture.content)
        write_text(run_folder.report_html, page)
    return run_folder.report_html


def _context(folder: RunFolder, data: RunData, pictures: list[Picture]) -> dict[str, Any]:
    evaluation = data.evaluation
    networks = evaluation["networks"] if evaluation else {}
    moved = movement(data.architecture) if data.architecture else None
    return {
        "name": data.setting("name") or folder.path.resolve().name,
        "run": data.run,
        "headline": headline(data),
        "unfinished": _unfinished(data.run["stages"]),
        "tiles": _tiles(evaluation) if evaluation else [],
        "networks": list(networks.values()),
        "rows": _rows(evaluation) if evaluation else [],
        "radii": radius_rows(evaluation) if evaluation else [],
        "smoothed": smoothed_rows(evaluation) if evaluation else [],
        "smoothed_eps": smoothed_eps(evaluation) if evaluation else [],
        "corruptions": corruption_rows(evaluation) if evaluation else [],
        "severities": corruption_severities(evaluation) if evaluation else [],
        "alarm": verdict_sentence(data.evidence) if is_alarming(data.evidence) else None,
        "moved": moved_sentences(moved) if moved else [],
        "events": event_sentences(data.architecture) if data.architecture else [],
        "edges": edge_rows(moved, CELL_TITLES) if moved else [],
        "compared": compared_sentences(data.evidence) if data.evidence else [],
        "found": verdict_sentence(data.evidence),
        "ranks": rank_rows(data.evidence),
        "trained_for_comparison": trained_for_comparison(data.evidence),
        "candidates": candidate_rows(data.evidence),
        "decisions": decision_rows(data.evidence, CELL_TITLES),
        "verdict": data.verdict,
        "judged_on": published_title(data.verdict) if data.verdict else None,
        "telling": informative_rows(data.verdict) if data.verdict else [],
        "pair": pair_rows(data.verdict) if data.verdict else [],
        "hundredths": hundredths,
        "threat": _threat(data),
        "rehearsal": data.is_rehearsal,
        "at_chance": chance_sentences(evaluation) if evaluation else [],
        "checked": checked_networks(evaluation) if evaluation else [],
        "pictures": pictures,
        "embed": lambda picture: base64.b64encode(picture.content).decode(),
        "genotype": published_text(data.genotype) if data.genotype else None,
        "config_text": data.config_text,
        "settings": _settings(data),
        "provenance": _provenance(folder, data),
        "stages": [
            (name, stage["state"], _duration(stage.get("seconds")))
            for name, stage in data.run["stages"].items()
            if name != "report"
        ],
    }


def _rows(evaluation: dict[str, Any]) -> list[Row]:
    others = (certified_row(evaluation), smoothed_row(evaluation), spatial_row(evaluation))
    return [*result_rows(evaluation), *(row for row in others if row)]


def _tiles(evaluation: dict[str, Any]) -> list[Tile]:
    name, network = next(iter(evaluation["networks"].items()))
    clean = network["result"]["clean"]
    tiles = [Tile(percent(clean["accuracy"]), f"clean accuracy, {clean['images']:,} {evaluation['split']} images")]
    worst = strongest(evaluation, name)
    if worst is not None:
        threat = threat_text(worst["norm"], worst["eps"])
        under = f"worst case of {len(worst['attacks'])} attacks" if "attacks" in worst else f"under {worst['label']}"
        failed = len(failed_checks(network["result"]))
        doubt = (
            f"; probably too high, {failed} checks failed"
            if failed > 1
            else "; probably too high, a check failed"
            if failed
            else ""
        )
        tiles.append(Tile(percent(worst["accuracy"]), f"{under} ({threat}){_if_fewer(worst, clean)}{doubt}"))
        for other in evaluation["networks"]:
            record = same_attack(evaluation, other, worst) if other != name else None
            if record is not None:
                tiles.append(Tile(percent(record["accuracy"]), f"the same, {evaluation['networks'][other]['title']}"))
    proved = most_certified(evaluation)
    point = certified_point(evaluation, proved) if proved else None
    if proved and point:
        threat = threat_text(**evaluation["threat"])
        label = f"proved ({threat}){_if_fewer(point, clean)}, {evaluation['networks'][proved]['title']}"
        tiles.append(Tile(percent(point["certified"]), label))
    tiles.append(Tile(f"{network['parameters']:,}", "parameters"))
    return tiles


def _if_fewer(record: dict[str, Any], clean: dict[str, Any]) -> str:
    """Of how many images a number is, where it isn't of all."""
    return f", first {record['images']:,} images" if record["images"] < clean["images"] else ""


def _unfinished(stages: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{name} is {stage['state']}" for name, stage in stages.items() if name != "report" and stage["state"] != "done"
    ]


def _settings(data: RunData) -> list[tuple[str, str]]:
    """The choices that tell one run from another; the whole config follows on the page."""
    found = [
        ("data", data.evaluation["data"] if data.evaluation else None),
        ("search space", (data.genotype or data.architecture or {}).get("space")),
        ("started from", data.setting("from")),
        ("threat model", _threat(data)),
        ("overrides", " ".join(data.overrides) or "none"),
    ]
    if data.did("search"):
        metric = data.part("metric")
        found[2:2] = [
            ("strategy", data.part("strategy")),
            ("metric", metric),
            ("metric weight", None if metric == "none" else data.setting("metric", "weight")),
        ]
    if data.did("retrain"):
        found.append(("training objective", data.part("objective")))
    if (maximised := data.run.get("objective")) is not None:
        found.append(("sweep objective", objective_text(maximised)))
    return [(name, value) for name, value in found if value]


def _threat(data: RunData) -> str | None:
    if data.evaluation:
        return threat_text(**data.evaluation["threat"])
    norm, eps = data.setting("threat", "norm"), data.setting("threat", "eps")
    return f"{norm}, eps {eps}" if norm and eps else None


def _provenance(folder: RunFolder, data: RunData) -> list[tuple[str, str]]:
    run, git = data.run, data.run["git"]
    revision = "not known" if git is None else git["revision"] + (" with local changes" if git["dirty"] else "")
    facts = [
        ("folder", str(folder.path)),
        ("started", run["created"]),
        ("seed", data.setting("seed") or "see settings"),
        ("git revision", revision),
        ("device", run["device"]),
        ("machine", f"{run['platform']}, Python {run['python']}"),
        ("versions", ", ".join(f"{package} {version}" for package, version in run["versions"].items())),
        ("fingerprint", run["fingerprint"]),
    ]
    if data.evaluation:
        used = [
            f"{network['title']}: {network['checkpoint']}"
            + ("" if network.get("epoch") is None else f" (epoch {network['epoch']})")
            for network in data.evaluation["networks"].values()
        ]
        facts.append(("checkpoints", ", ".join(used)))
    return facts


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _write_bytes(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.writelines([content]))
