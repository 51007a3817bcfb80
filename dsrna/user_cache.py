"""Folders of the user's own for what can be made again."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def home_cache() -> Path | None:
    """``$XDG_CACHE_HOME/dsrna``, usually ``~/.cache/dsrna``; None for a user without a home, as in a container that
    runs under any number.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsrna"
    except RuntimeError:  # neither $HOME nor an entry in the table of users
        return None


def temporary_cache() -> Path:
    """A private folder among the temporary ones, the same for every process of this user.

    Raises:
        OSError: there is no place to write to.
    """
    temporary = Path(tempfile.gettempdir())
    name = f"dsrna-{os.getuid()}" if hasattr(os, "getuid") else "dsrna"
    # Anybody may have taken the first name; another one is then made, and found by its beginning.
    for folder in (temporary / name, *sorted(temporary.glob(f"{name}-*"))):
        if is_private(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def is_private(folder: Path) -> bool:
    """Whether this user and nobody else can write to the folder and read it; it is made if it isn't there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or not is_own(state, others=0o077):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def is_own(state: os.stat_result, others: int) -> bool:
    """Whether something belongs to this user and gives others none of these rights.

    On Windows users have no numbers; homes and temporary folders are each user's own there.
    """
    return not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & others)
