"""Ctrl-C as a request: noticed at once, obeyed where the state is whole."""

from __future__ import annotations

import logging
import signal
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger("dsrna")


class Interrupted(BaseException):
    """Ctrl-C arrived. Like KeyboardInterrupt no Exception, but Lightning doesn't end the process on it."""


class CtrlC:
    """Inside the block Ctrl-C only asks to stop; whoever saves the state looks and obeys. A second one stops at once.

    A request that nobody obeyed, because the work was over, is obeyed at the end of the block. Outside the main thread,
    where Ctrl-C doesn't arrive, nothing changes.

    Attributes:
        asked: whether Ctrl-C was pressed.

    Raises:
        Interrupted: at the second Ctrl-C, in :meth:`stop_if_asked`, or at the end of the block.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def stop_if_asked(self) -> None:
        """To be called where the state has just been saved."""
        if self.asked:
            raise Interrupted

    def __enter__(self) -> CtrlC:
        try:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        except ValueError:  # not the main thread
            self._before = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self.stop_if_asked()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise Interrupted
        self.asked = True
        log.warning(
            "Stopping as soon as the state is saved: after this batch, or after the validation that is under way "
            "(press Ctrl-C again to stop at once)"
        )
