"""Where everything of a run is: every file of a run folder is named here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NETWORKS = ("retrain", "certified", "baseline")
"""Stages that train a network, the one that a run is about first."""


@dataclass(frozen=True)
class RunFiles:
    """The files of a run folder, whether they are there or not.

    A stage (``"search"``, ``"retrain"``, ``"certified"``, ``"baseline"``) keeps its checkpoints in the sub-folder of
    its name.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def run_json(self) -> Path:
        return self.path / "run.json"

    @property
    def lock(self) -> Path:
        """Says which process is at work here; see :mod:`dsrna.run_lock`."""
        return self.path / "run.lock"

    @property
    def config_yaml(self) -> Path:
        return self.path / "config.yaml"

    @property
    def overrides_yaml(self) -> Path:
        return self.path / "overrides.yaml"

    @property
    def metrics_jsonl(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def genotype_json(self) -> Path:
        return self.path / "genotype.json"

    @property
    def architecture_json(self) -> Path:
        return self.path / "search" / "architecture.json"

    @property
    def evidence_json(self) -> Path:
        """How far the search moved, and how its cell does among random ones."""
        return self.path / "search" / "evidence.json"

    @property
    def candidates_jsonl(self) -> Path:
        """How good cells were that a selection trained alone, one line each."""
        return self.path / "search" / "candidates.jsonl"

    def candidate_checkpoint(self, purpose: str, how: str) -> Path:
        """Where a selection or comparison keeps the training of its candidates until the stage is done."""
        return self.path / "search" / f"candidate_{purpose}_{how}.ckpt"

    @property
    def candidate_checkpoints(self) -> list[Path]:
        """All of them that there are."""
        return sorted(self.path.glob("search/candidate_*.ckpt"))

    @property
    def verdict_json(self) -> Path:
        """What the published tables say of the derived architecture."""
        return self.path / "verdict.json"

    @property
    def evaluation_json(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def evaluation_dir(self) -> Path:
        return self.path / "evaluation"

    @property
    def plots_dir(self) -> Path:
        return self.path / "plots"

    @property
    def scores_jsonl(self) -> Path:
        """One object a line, an architecture's scores, in the order in which they are computed."""
        return self.path / "scores.jsonl"

    @property
    def searches_jsonl(self) -> Path:
        """One object a line, a finished search by queries, in the order of the plan."""
        return self.path / "searches.jsonl"

    @property
    def query_json(self) -> Path:
        return self.path / "query.json"

    @property
    def ranking_json(self) -> Path:
        return self.path / "ranking.json"

    @property
    def study_json(self) -> Path:
        """What came of a study: its trials, what matters, and the best of them."""
        return self.path / "study.json"

    @property
    def report_html(self) -> Path:
        return self.path / "report.html"

    @property
    def failure_json(self) -> Path:
        """Why a job of a multirun failed: ``{"error": message}``."""
        return self.path / "failure.json"

    @property
    def run_log(self) -> Path:
        return self.path / "run.log"

    def last_checkpoint(self, stage: str) -> Path:
        """Where ``stage`` keeps everything it needs to continue exactly."""
        return self.path / stage / "last.ckpt"

    @property
    def networks(self) -> dict[str, Path]:
        """Stage -> its :meth:`best_checkpoint`, for the trained networks that there are, in the order of NETWORKS."""
        return {stage: path for stage in NETWORKS if (path := self.best_checkpoint(stage)).is_file()}

    def best_checkpoint(self, stage: str) -> Path:
        """Where ``stage`` keeps the weights that did best on the validation split."""
        return self.path / stage / "best.ckpt"
