"""The types of plain settings: their range, and what an error says of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict

LARGEST = 2**63 - 1


def _from_one(most: int) -> Any:
    """Far above what is of use: what is too much for any machine is no setting."""
    return Field(ge=1, le=most, description=f"a whole number, at least 1, at most {most:,}")


Count = Annotated[int, _from_one(1_000_000)]
BatchSize = Annotated[int, _from_one(10_000_000)]
Cells = Annotated[int, _from_one(1_000)]
Channels = Annotated[int, _from_one(100_000)]
Limit = Annotated[int | None, Field(ge=1, le=LARGEST, description="a whole number, at least 1, or null for no limit")]
Whole = Annotated[int, Field(ge=0, le=LARGEST, description="a whole number, 0 or more")]
Few = Annotated[int, Field(ge=0, le=10_000, description="a whole number, 0 to 10,000")]
Seed = Annotated[int, Field(ge=0, lt=2**32, description="a whole number in [0, 2**32)")]
Share = Annotated[float, Field(gt=0, lt=1, description="a share in (0, 1)")]
Rate = Annotated[float, Field(ge=0, lt=1, description="a value in [0, 1)")]
NotNegative = Annotated[float, Field(ge=0, description="a finite number, 0 or more")]
Flag = Annotated[bool, Strict(False)]
"""True, false, or what else YAML and people write for it: on, off, yes, no, 0, 1."""
Progress = Literal["auto", "on", "off"]
