"""Standard output, which must be written to, and standard error, which may be gone."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, Literal

from dsrna.errors import OutputError


class StandardStream:
    """The standard stream of that name, whichever it is now.

    Where standard error is gone - a closed terminal, a full disk - messages are lost, and nothing else: no run ends for
    want of a terminal. Standard output carries results: losing them is an error.

    Args:
        name: of the stream.
        stream: this one, whatever stands at its place later; None: the one that is there when it is written to.

    Raises:
        OutputError: by ``write`` and ``flush`` of standard output, where that can't be written to.
    """

    def __init__(self, name: Literal["stdout", "stderr"], stream: Any = None) -> None:
        self._name, self._given, self._may_fail = name, stream, name == "stderr"

    def write(self, text: str) -> int:
        self._do("write", text)
        return len(text)

    def flush(self) -> None:
        self._do("flush")

    def __getattr__(self, name: str) -> Any:
        if name == "rich_proxied_file":  # rich would pass this stream by
            raise AttributeError(name)
        return getattr(self._stream(), name)

    def _stream(self) -> Any:
        stream = getattr(sys, self._name) if self._given is None else self._given
        return getattr(stream, "rich_proxied_file", stream)  # a progress bar stands before it

    def _do(self, what: str, *arguments: str) -> None:
        stream = self._stream()
        if stream is None:  # closed by whoever started this process
            return
        try:
            getattr(stream, what)(*arguments)
        except BrokenPipeError:
            if not self._may_fail:
                raise  # `| head`: the reader has seen enough, which is no error; rich and Python end the process
        except OSError as error:
            if not self._may_fail:
                _discard_rest(stream)
                raise OutputError(f"Can't write to standard output: {error.strerror}.") from error
        except (ValueError, RuntimeError):  # closed, or a signal's message in the middle of another one
            if not self._may_fail:
                raise


def _discard_rest(stream: Any) -> None:
    """Keeps Python from trying again, and from complaining, when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
