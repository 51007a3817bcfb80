"""What a run folder holds, read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from dsrna import documents
from dsrna.json_files import read_document, read_json
from dsrna.run_folder import RunFolder


@dataclass(frozen=True)
class RunData:
    """The contents of a run folder; a part that the run didn't write (yet) is None or empty.

    Attributes:
        run: ``run.json``.
        config_text: ``config.yaml``, as text.
        overrides: what the user typed.
        epochs: the per-epoch records of ``metrics.jsonl``.
        architecture: ``search/architecture.json``.
        genotype: ``genotype.json``.
        evaluation: ``evaluation.json``.
        verdict: ``verdict.json``.
        evidence: ``search/evidence.json``.
    """

    run: dict[str, Any]
    config_text: str
    overrides: list[str]
    epochs: list[dict[str, Any]]
    architecture: dict[str, Any] | None
    genotype: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    verdict: dict[str, Any] | None = None
    evidence: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: RunFolder) -> RunData:
        """Raises CheckpointError when ``folder`` is no run folder, or a file in it is damaged or of another version."""
        genotype, architecture, config = folder.genotype_json, folder.architecture_json, folder.config_yaml
        return cls(
            run=folder.read_run(),
            config_text=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
            overrides=folder.read_overrides(),
            epochs=[record for record in folder.read_metrics() if record.get("kind") == "epoch"],
            architecture=read_json(architecture, documents.Architecture) if architecture.exists() else None,
            genotype=read_document(genotype, "dsrna.genotype", 2, documents.Genotype, oldest=1)
            if genotype.exists()
            else None,
            evaluation=folder.read_evaluation(),
            verdict=folder.read_verdict(),
            evidence=folder.read_evidence(),
        )

    def did(self, stage: str) -> bool:
        """Whether the stage is one of the run's own: the config has settings of those that it skips, too."""
        return stage in self.run["stages"]

    @property
    def is_rehearsal(self) -> bool:
        """Whether nobody may quote its numbers."""
        return bool(self.run.get("rehearsal") or (self.evaluation or {}).get("rehearsal"))

    def curve(self, key: str) -> tuple[list[int], list[float]]:
        """Epochs and values of one logged key, e.g. ``"search/val/loss"``; empty when it was not logged."""
        records = [record for record in self.epochs if record.get(key) is not None]
        return [record["epoch"] for record in records], [record[key] for record in records]

    def setting(self, *path: str) -> str | None:
        """The scalar at ``path`` in ``config.yaml``, e.g. ``setting("threat", "eps")``; None when there is none."""
        node = self._config
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        return node if isinstance(node, str) and node not in ("", "null") else None

    def part(self, group: str) -> str | None:
        """The name of the part chosen in a config group, e.g. ``"jacobian"``.

        Folders of older versions don't note it: there it is the module of the part's ``_target_``.
        """
        chosen: str | None = self.run.get("choices", {}).get(group)
        if chosen is not None:
            return chosen
        target = (self.setting(group, "_target_") or "").split(".")
        return target[-2] if len(target) > 1 else None

    @cached_property
    def _config(self) -> Any:
        """``config.yaml``, every scalar as its text; None where it is damaged: the page shows it all the same."""
        try:
            return yaml.load(self.config_text, Loader=yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader)
        except (yaml.YAMLError, RecursionError):
            return None
