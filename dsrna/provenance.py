"""Where a result comes from: the checkout, the libraries, the command."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from dsrna import __version__

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scikit-learn",
    "matplotlib",
    "foolbox",
    "pyautoattack",
    "wandb",
)


def git_state() -> dict[str, Any] | None:
    """``{"revision": …, "dirty": …}`` of the checkout this package lies in, else of the current folder's, if any."""
    package = Path(__file__).parent
    # An installed package may lie, ignored, inside somebody else's checkout: only a tracked one speaks for it.
    is_checkout = _git(package, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    where = package if is_checkout else Path.cwd()
    revision = _git(where, "rev-parse", "HEAD")
    changes = _git(where, "status", "--porcelain", "--untracked-files=no")
    if revision is None or changes is None:
        return None
    return {"revision": revision, "dirty": bool(changes)}


def library_versions() -> dict[str, str]:
    """Package -> version, for those installed packages that results may depend on; imports none of them."""
    found = {package: _version(package) for package in RECORDED_PACKAGES}
    return {"dsrna": __version__, **{package: version for package, version in found.items() if version is not None}}


@cache
def _version(package: str) -> str | None:
    """Looked up once: what is installed doesn't change under a process."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(where: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def this_command() -> str:
    """What was typed to start this process, ready for a shell."""
    interpreter, *rest = sys.orig_argv
    return shlex.join([Path(interpreter).name, *rest])
