"""Where built kernels are kept, and which of them may be loaded: what is loaded is run."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from dsrna.files import write_bytes
from dsrna.user_cache import home_cache, is_own, is_private, temporary_cache


def folder() -> Path:
    """A folder that this user alone can write to, in the home or, without one, among the temporary ones.

    Raises:
        OSError: there is no place to write to.
    """
    home = home_cache()
    if home is not None and is_private(home / "kernels"):
        return home / "kernels"
    return temporary_cache()


def keep(path: Path, payload: bytes) -> None:
    """Writes a library, and beside it the digest by which it is known again."""
    for file, content in ((path, payload), (_digest_file(path), _digest(payload))):
        write_bytes(file, content)
        file.chmod(0o600)


def is_trusted(path: Path) -> bool:
    """Whether ``path`` is what :func:`keep` wrote, whole, by this user, and no other could have changed it."""
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or not is_own(state, others=0o022):
            return False
        return _digest(path.read_bytes()) == _digest_file(path).read_bytes()
    except OSError:
        return False


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()
