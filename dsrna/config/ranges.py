"""What values a setting may have in a study, in the words in which Hydra writes sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep

from dsrna.config.command_line import parsed, quoted
from dsrna.config.compose import key_of
from dsrna.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Trial

Value = float | int | str | bool | None
_LOG = "log"


@dataclass(frozen=True)
class Range:
    """The values of a setting.

    Attributes:
        key: as it is typed.
        low, high: both ends of an interval, which belong to it; None: the choices are listed.
        step: of a range; None: a float of any value.
        log: whether values are drawn evenly by their logarithm.
        choices: the values that are listed.
    """

    key: str
    low: float | None = None
    high: float | None = None
    step: int | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()

    @property
    def ends(self) -> list[Value]:
        """The values at which a trial is checked before the study begins: both ends, or every choice."""
        return list(self.choices) if self.low is None else [self.low, self.high]

    def suggested(self, trial: Trial) -> Value:
        """A value for a trial."""
        if self.low is None or self.high is None:
            chosen: Value = trial.suggest_categorical(self.key, list(self.choices))
            return chosen
        if self.step is not None:
            return trial.suggest_int(self.key, int(self.low), int(self.high), step=self.step, log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    @staticmethod
    def typed(value: Value) -> str:
        """The value as an override has it.

        >>> Range.typed(0.1), Range.typed(None), Range.typed(True), Range.typed("8/255")
        ('0.1', 'null', 'true', "'8/255'")
        """
        if value is None:
            return "null"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return value if value.replace("_", "").isalnum() else quoted(value)
        return repr(value)


def ranges_of(texts: Sequence[str]) -> dict[str, Range]:
    """Key -> its range.

    >>> ranges_of(["metric.weight=tag(log,interval(1e-3,1))"])["metric.weight"]
    Range(key='metric.weight', low=0.001, high=1.0, step=None, log=True, choices=())

    Raises:
        ConfigError: a text is no range, is empty, or a key has two.
    """
    found: dict[str, Range] = {}
    for text, read in zip(texts, parsed(texts), strict=True):
        key = text.partition("=")[0]
        if key_of(text) in map(key_of, found):
            raise ConfigError(f"`{key}` has two ranges: keep one of them. (conf: ranges)")
        found[key] = _range(key, text, None if read.is_delete() else read.value())
    return found


def _range(key: str, text: str, value: Any) -> Range:
    made = None
    if isinstance(value, IntervalSweep):
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        made = Range(key, value.start, value.end, 1 if whole else None, _LOG in value.tags)
    elif isinstance(value, RangeSweep):
        made = _steps(key, value.start, value.stop, value.step)
    elif isinstance(value, ChoiceSweep):
        made = Range(key, choices=tuple(_plain(each) for each in value.list))
    if made is None:
        raise ConfigError(
            f"Expected a range such as KEY=interval(0.1,1), KEY=tag(log,interval(1e-3,1)), KEY=int(interval(2,8)), "
            f"KEY=range(16,65,16) or KEY=choice(a,b), got {text}. (conf: ranges)"
        )
    if made.low is not None and made.high is not None and not made.low < made.high:
        raise ConfigError(f"Expected a range from a smaller to a larger value, got {text}. (conf: ranges)")
    if made.log and (made.low is None or made.low <= 0):
        raise ConfigError(f"Expected a range above 0 for a logarithm, got {text}. (conf: ranges)")
    return made


def _steps(key: str, start: Any, stop: Any, step: Any) -> Range | None:
    """From ``start`` up to ``stop``, which doesn't belong to it, as Python counts; None where they aren't whole."""
    if not all(isinstance(each, int) for each in (start, stop, step)) or step < 1:
        return None
    return Range(key, start, start + (stop - 1 - start) // step * step, step)


def _plain(value: Any) -> Value:
    return value if isinstance(value, float | int | bool | None) else str(value)
