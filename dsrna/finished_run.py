"""A finished run as a value: what its folder holds, for programs and notebooks."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `import dsrna` imports this file, and torch takes seconds
    from dsrna.run_folder import RunFolder
    from dsrna.spaces.genotype import Genotype
    from dsrna.training.trained_network import TrainedNetwork


@dataclass(frozen=True)
class Run:
    """What a run left behind. A notebook shows its accuracies and pictures.

    Attributes:
        path: the run folder.
    """

    path: Path

    @property
    def genotype(self) -> Genotype:
        """What was searched for, or what the run started from.

        Raises:
            CheckpointError: the run has none, or its file is damaged.
        """
        from dsrna.spaces import genotype_codec

        return genotype_codec.load(self._folder.genotype_json)

    def network(self, stage: str | None = None, model: str | None = None) -> TrainedNetwork:
        """A trained network: images (N, C, H, W) in [0, 1] -> logits (N, K); on the CPU, in evaluation mode.

        Args:
            stage: ``"retrain"``, ``"certified"`` or ``"baseline"``; None for the first of them that there is.
            model: ``MODULE:NAME``, where that builds it: a run folder alone doesn't decide what is imported.

        Raises:
            CheckpointError: there is none, its file is damaged, or it names another model.
        """
        from dsrna.errors import CheckpointError
        from dsrna.training.trained_network import load_network

        there = self._folder.networks
        if not there or stage not in (None, *there):
            known = f"those of: {', '.join(there)}" if there else "none: dsrna.retrain trains one"
            raise CheckpointError(f"Expected a network of {stage or 'any stage'} in {self.path}, found {known}.")
        return load_network(there[stage or next(iter(there))], model)[0]

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """``evaluation.json``: attacks, curves, verification, corruptions of each network; None before that stage."""
        return self._folder.read_evaluation()

    @property
    def accuracies(self) -> dict[str, dict[str, float]]:
        """Accuracy on the test split in [0, 1]: attack -> stage -> accuracy; ``"Clean"`` is without one."""
        from dsrna.stages.summary import result_rows

        return {
            row["label"]: {key: value for key, value in row.items() if key not in ("label", "accuracy")}
            for row in result_rows(self._folder)
        }

    @property
    def evidence(self) -> dict[str, Any] | None:
        """``search/evidence.json``: whether the search is a result or noise; None without a search."""
        return self._folder.read_evidence()

    @property
    def verdict(self) -> dict[str, Any] | None:
        """``verdict.json``: what the published tables say of a NAS-Bench-201 cell; None without tables."""
        return self._folder.read_verdict()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """All logged records in order: stage, epoch, step, and numbers by key, such as ``retrain/val/acc_adv``."""
        return self._folder.read_metrics()

    @property
    def scores(self) -> list[dict[str, Any]]:
        """The architectures of a ranking with their proxies' scores; empty for other runs."""
        return self._folder.read_scores()

    @property
    def searches(self) -> list[dict[str, Any]]:
        """What each search by queries found, and when; empty for other runs."""
        return self._folder.read_searches()

    @property
    def report(self) -> Path:
        """``report.html``, drawn if it isn't there."""
        from dsrna.commands import redraw

        page = self._folder.report_html
        return page if page.is_file() else redraw(self.path)

    @property
    def _folder(self) -> RunFolder:
        from dsrna.run_folder import RunFolder

        return RunFolder.open(self.path)

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(str(self.path))}</p>"]
        if rows := self.accuracies:
            stages = list(dict.fromkeys(stage for row in rows.values() for stage in row))
            head = "".join(f"<th>{stage}</th>" for stage in stages)
            body = "".join(
                f"<tr><td>{escape(label)}</td>"
                + "".join(f"<td>{100 * row[stage]:.2f} %</td>" if stage in row else "<td></td>" for stage in stages)
                + "</tr>"
                for label, row in rows.items()
            )
            parts.append(f"<table><tr><th>accuracy on the test split</th>{head}</tr>{body}</table>")
        parts += [_inline(picture) for picture in sorted(self._folder.plots_dir.glob("*.png"))]
        return "".join(parts)


def _inline(picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    return f'<img alt="{escape(picture.stem)}" style="max-width: 100%" src="data:image/png;base64,{data}">'
