"""What torchrun says of the processes that it started, which is known without torch."""

from __future__ import annotations

from collections.abc import Mapping


def launched_from_outside(environment: Mapping[str, str]) -> bool:
    """Whether torchrun started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def follows(environment: Mapping[str, str]) -> bool:
    """Whether this process, of several that torchrun started, is another one than the leader."""
    return launched_from_outside(environment) and environment.get("RANK") != "0"
