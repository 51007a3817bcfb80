"""The signals that end a run - Ctrl-C, a scheduler's SIGTERM, a closed terminal's SIGHUP - as one request to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(BaseException):
    """A signal told this process to stop. No Exception, so that no library takes it for an error of its own.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What shells report of a process that this signal ended: 130, 143 or 129."""
        return 128 + self.number


class StopSignals:
    """Inside the block the first signal raises :class:`Interrupted`, at once or where the state is whole.

    Blocks may be nested; the innermost decides. While the process is already stopping, a second Ctrl-C stops at once,
    and other signals change nothing: schedulers send several before they kill. What the process was started to ignore
    (``nohup``, a background job) it goes on ignoring. Outside the main thread no signal arrives, and nothing changes.

    Args:
        at_once: whether the first signal raises where it arrives. Otherwise it only asks, and whoever saves the state
            looks and obeys; what nobody obeyed, because the work was over, is obeyed at the end of the block.
        on_ask: called with the signal when it asks.

    Raises:
        Interrupted: as said above.
    """

    def __init__(self, at_once: bool, on_ask: Callable[[signal.Signals], None] = lambda number: None) -> None:
        self.at_once, self.on_ask = at_once, on_ask
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal arrived since the outermost block began."""
        return self in _blocks and bool(_received)

    def stop_if_asked(self) -> None:
        """To be called where the state has just been saved."""
        if self.asked:
            raise Interrupted(_received[0])

    def listen(self) -> None:
        """Takes the signals back from a library that has put handlers of its own in place of these."""
        for number in self._before:
            signal.signal(number, _on_signal)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is not threading.main_thread():
            return self
        if not _blocks:
            _received.clear()
        _blocks.append(self)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.stop_if_asked()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            if self in _blocks:
                _blocks.remove(self)


# Signals are the process's own, and so is what is known of them.
_blocks: list[StopSignals] = []
_received: list[int] = []


def stop_if_asked() -> None:
    """Obeys a signal whose exception was lost, as Python loses those that are raised while it collects garbage."""
    if _blocks:
        _blocks[-1].stop_if_asked()


def _on_signal(number: int, frame: FrameType | None) -> None:
    again, block = bool(_received), _blocks[-1]
    if again and number != signal.SIGINT:
        return
    _received.append(number)
    if again or block.at_once:
        raise Interrupted(_received[0])
    block.on_ask(signal.Signals(number))
