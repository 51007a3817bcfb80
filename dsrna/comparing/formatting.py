"""The numbers of a comparison as people read them, the same on the page, in LaTeX and on the console."""

from __future__ import annotations

from collections.abc import Sequence

from dsrna.comparing.intervals import Estimate, Spread
from dsrna.comparing.table import ComparisonTable, TableRow
from dsrna.progress import duration

PLUS_MINUS = "\u00b1"
SIGNIFICANT = 0.05


def percent(value: float) -> str:
    """A share in per cent, without the sign."""
    return f"{100 * value:.2f}"


def points(value: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * value:+.2f}"


def with_deviation(spread: Spread, plus_minus: str = PLUS_MINUS) -> str:
    """Mean and standard deviation in per cent."""
    mean = percent(spread.mean)
    return mean if spread.deviation is None else f"{mean} {plus_minus} {percent(spread.deviation)}"


def between(interval: tuple[float, float] | None, sign: bool = False) -> str:
    """An interval in per cent: of a share, which is in [0, 1], or with a sign of a difference."""
    if interval is None:
        return ""
    if sign:
        return f"{points(interval[0])} to {points(interval[1])}"
    return f"{percent(max(0.0, interval[0]))} to {percent(min(1.0, interval[1]))}"


def p_text(p_value: float | None) -> str:
    """A p-value.

    >>> p_text(0.0321), p_text(0.00002), p_text(None)
    ('0.032', '<0.001', '')
    """
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def count(value: float) -> str:
    """A large number.

    >>> count(532_100), count(3_349_342), count(1.2e9)
    ('532 k', '3.35 M', '1.20 G')
    """
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value:,.0f}"


def milliseconds(value: float | None) -> str:
    """A latency in milliseconds."""
    return "" if value is None else f"{value:.3g}"


def time_text(seconds: float | None) -> str:
    """A duration, or nothing."""
    return "" if seconds is None else duration(seconds)


def estimate_text(estimate: Estimate | None) -> str:
    """A difference with its interval, in percentage points."""
    if estimate is None:
        return ""
    return f"{points(estimate.value)} ({between(estimate.interval, sign=True)})"


def is_different(row: TableRow) -> bool:
    """Whether a row differs from the reference beyond chance by the trainings' scatter, after the correction."""
    return row.test is not None and row.test.holm_seeds is not None and row.test.holm_seeds < SIGNIFICANT


def lead(table: ComparisonTable) -> list[str]:
    """What came out, in a few sentences."""
    if not table.rows:
        return ["Nothing is trained and evaluated yet."]
    best = max(table.rows, key=lambda row: row.robust.mean)
    sentences = [
        f"{best.row.name} keeps {percent(best.robust.mean)} % in the worst case over the attacks, the most of "
        f"{len(table.rows)} rows."
    ]
    tested = [row for row in table.rows if row.test is not None and row.test.holm_seeds is not None]
    if tested:
        different = [row.row.name for row in tested if is_different(row)]
        sentences.append(
            f"By the scatter of trainings and after Holm's correction, {_listed(different)} of {len(tested)} rows "
            f"{'differs' if len(different) == 1 else 'differ'} from {table.results.reference} at the 5 % level."
        )
    else:
        sentences.append("There are too few trainings for tests over seeds.")
    above = [row.row.name for row in table.rows if row.residual is not None and row.residual.interval[0] > 0]
    if any(row.residual is not None for row in table.rows):
        sentences.append(f"Above random cells of their size by their 95 % interval: {_listed(above)}.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
