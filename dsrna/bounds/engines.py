"""The bound engines by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from dsrna.bounds.alpha_crown import AlphaCrown
from dsrna.bounds.auto_lirpa import AutoLirpa
from dsrna.bounds.beta_crown import BetaCrown
from dsrna.bounds.crown import Crown
from dsrna.bounds.crown_ibp import CrownIBP
from dsrna.bounds.engine import BoundEngine
from dsrna.bounds.ibp import IBP
from dsrna.errors import ConfigError
from dsrna.spaces.names import unknown_name
from dsrna.types import Norm

EngineBuilder = Callable[[Norm, int | None], BoundEngine]

ENGINES: dict[str, EngineBuilder] = {"ibp": IBP, "crown_ibp": CrownIBP, "crown": Crown, "alpha_crown": AlphaCrown}
"""Name -> engine, from the cheapest and loosest to the tightest."""

COMPLETE_ENGINES: dict[str, EngineBuilder] = {"beta_crown": BetaCrown}
"""Name -> engine that goes on until an image is decided or its time is up; for verdicts."""

REFERENCE_ENGINES: dict[str, EngineBuilder] = {
    "auto_lirpa_crown_ibp": partial(AutoLirpa, method="CROWN-IBP"),
    "auto_lirpa_crown": partial(AutoLirpa, method="CROWN"),
}
"""Name -> engine of another library, to compare with."""


def bound_engine(
    name: str, norm: Norm = "linf", batch_size: int | None = None, among: Sequence[str] | None = None
) -> BoundEngine:
    """The engine of that name, tried out on a tiny network, so that a library that is missing is missed at once.

    Torch's global random numbers stay where they are.

    Args:
        name: one of :data:`ENGINES`, :data:`COMPLETE_ENGINES` or :data:`REFERENCE_ENGINES`.
        norm: ``"linf"`` or ``"l2"``.
        batch_size: at most so many images are bounded at once; None for all.
        among: the names that may be used where it is called from; None for all.

    Raises:
        ConfigError: there is no engine of that name, or a setting is out of range.
        MissingPartError: the engine needs a package that is not installed; the message names the command.
    """
    engines = ENGINES | COMPLETE_ENGINES | REFERENCE_ENGINES
    allowed = list(engines) if among is None else among
    if name not in allowed:
        raise ConfigError(f"{unknown_name('engine', name, allowed)}. (conf: engine)")
    engine = engines[name](norm, batch_size)
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # layers draw their weights
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).requires_grad_(False)
        engine(network, torch.full((1, 1, 2, 2), 0.5), 0.1, torch.tensor([0]))
    return engine
