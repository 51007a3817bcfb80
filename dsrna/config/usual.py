"""What a data set is usually given: its threat model (``conf/threat``), and objective, sizes, epochs (``conf/usual``).

A config that says ``threat: ${data}`` takes the choice of the data set's name, unless an experiment or the command line
chooses another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.config_store import ConfigStore

from dsrna.config.catalog import choices

GROUPS = ("threat", "usual")
LENDER = "arrays"
"""Whose a data set of the user's takes where the user's folder has none of its name."""


def lend_usual(overrides: Sequence[str]) -> None:
    """Lets Hydra know a threat and usual settings for every data set in the folders of a command line."""
    for group in GROUPS:
        for name in set(choices("data", overrides)) - set(choices(group, overrides)):
            package = {"package": "_global_"} if group == "usual" else {}
            ConfigStore.instance().store(name, {"defaults": [LENDER]}, group, **package, provider="dsrna")


def is_assumed(group: str, choice: str, overrides: Sequence[str]) -> bool:
    """Whether a choice is a guess about a user's own data rather than what is usual on known ones."""
    return choice in (LENDER, "folder") or choice not in choices(group, overrides)
