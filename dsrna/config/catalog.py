"""The config groups and their choices, as they lie in ``conf/``."""

from __future__ import annotations

from pathlib import Path

import dsrna


def conf_folder() -> Path:
    """The folder of YAML files: ``dsrna/conf`` in an installed wheel, ``conf`` beside the package in a checkout."""
    package = Path(dsrna.__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def choices(group: str) -> list[str]:
    """The names that ``group=NAME`` takes."""
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def groups() -> list[str]:
    """The config groups."""
    return sorted(path.name for path in conf_folder().iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def description(group: str, choice: str) -> str:
    """What a choice is: the first comment line of its file that is not Hydra's package header."""
    lines = (conf_folder() / group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line]
    return comments[0] if comments else ""
