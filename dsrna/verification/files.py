"""Verdicts on a network and a property in the formats of other verifiers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dsrna.attacks.pgd import PGD
from dsrna.bounds.beta_crown import BetaCrown
from dsrna.bounds.interval import Interval
from dsrna.errors import ConfigError, DataError
from dsrna.export.robustness_property import RobustnessProperty
from dsrna.export.vnnlib import from_vnnlib
from dsrna.functional.precision import full_precision
from dsrna.functional.seeding import generator
from dsrna.verification.onnx_network import OnnxNetwork

_SINGLE, _EXACT = torch.float32, torch.float64
_STEPS, _RESTARTS = 50, 2


@dataclass(frozen=True)
class FileVerdict:
    """Whether some input in the box has the outputs that the property asks for.

    Attributes:
        answer: ``"unsat"``: none has, by a proof; ``"sat"``: ``point`` has; ``"unknown"``: time was up.
        point: (1, ...) float32, in the box; None but for ``"sat"``.
        cases: how many cases were bounded.
    """

    answer: Literal["unsat", "sat", "unknown"]
    point: Tensor | None
    cases: int


@full_precision()
def verify_files(network: Path, claim: Path, seconds: float) -> FileVerdict:
    """Decides a property of a network: is there an input in the box with f_j(x) >= f_y(x) for a j != y?

    PGD looks for such an input, then branch and bound proves that there is none. Bounds are computed in float64, with
    allowance for the rounding of a network that is used in float32, so ``unsat`` holds on real numbers and in float32.
    ``sat`` is an input in float32 for which torch, in float32, gives such outputs.

    Args:
        network: ONNX file of one input and one output (1, K), see :class:`OnnxNetwork`.
        claim: VNN-LIB 1.0 or 2.0, see :func:`dsrna.export.vnnlib.from_vnnlib`. The box may lie anywhere.
        seconds: the limit, > 0; what bounds the inside of the network first is not interrupted.

    Raises:
        MissingPartError: the package ``onnx`` is missing.
        DataError: a file isn't what it should be, or the property is of another size.
        UnsupportedError: the network has an operation without a rule; the message names it.
        ConfigError: ``seconds`` isn't above 0.
    """
    if not seconds > 0:
        raise ConfigError(f"Expected seconds > 0, got {seconds:g}.")
    for file in (network, claim):
        if not file.is_file():  # of a pipe, say, nobody knows when it ends
            raise DataError(f"Expected a file, got {file}, which is none.")
    model, exact = (OnnxNetwork(network).to(dtype).eval().requires_grad_(False) for dtype in (_SINGLE, _EXACT))
    try:
        wanted = from_vnnlib(claim.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Expected VNN-LIB text in {claim}, can't read it: {error}.") from error
    shape, label = (1, *model.image_shape), torch.tensor([wanted.label])
    size = torch.Size(shape).numel()
    if size != len(wanted.lower):
        raise DataError(f"Expected {size} inputs, as {network} has, got {len(wanted.lower)} in {claim}.")
    lower, upper = (
        torch.tensor([float(end) for end in ends], dtype=_EXACT).view(shape) for ends in (wanted.lower, wanted.upper)
    )
    with torch.no_grad():
        outputs = tuple(exact((lower + upper) / 2).shape)
    if outputs != (1, wanted.classes):
        raise DataError(f"Expected {wanted.classes} outputs, as {claim} has, got {outputs[1:]} of {network}.")
    inside = _InBox(model, wanted, shape)
    middle = torch.full(shape, 0.5)
    attacked = PGD("linf", 0.5, steps=_STEPS, restarts=_RESTARTS, loss="margin")(
        inside, middle, label, generator(0, "files")
    )
    if inside.loses(attacked, wanted.label):
        return FileVerdict("sat", inside.point(attacked), 0)
    engine = BetaCrown(seconds=seconds).allowing_for(_SINGLE)
    found = engine.decide(exact, Interval.between(lower, upper, engine.unit(lower)), label)
    if found.point is not None:
        share = ((found.point - lower) / (upper - lower).clamp(min=torch.finfo(_EXACT).tiny)).clamp(0, 1).float()
        if inside.loses(share, wanted.label):
            return FileVerdict("sat", inside.point(share), found.cases)
    proved = found.point is None and bool((found.lower > 0).all())
    return FileVerdict("unsat" if proved else "unknown", None, found.cases)


class _InBox(nn.Module):
    """A network of places in a box, from 0 to 1, whose points are in float32 and inside the box as it is written."""

    def __init__(self, model: nn.Module, wanted: RobustnessProperty, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.lower = torch.tensor([_inwards(end, 1) for end in wanted.lower]).view(shape)
        self.upper = torch.tensor([_inwards(end, -1) for end in wanted.upper]).view(shape)

    def point(self, share: Tensor) -> Tensor:
        """(N, ...) places -> (N, ...) inputs."""
        return torch.minimum(torch.maximum(torch.lerp(self.lower, self.upper, share), self.lower), self.upper)

    def forward(self, share: Tensor) -> Tensor:
        """(N, ...) places -> (N, K) outputs."""
        outputs: Tensor = self.model(self.point(share))
        return outputs

    @torch.no_grad()
    def loses(self, share: Tensor, label: int) -> bool:
        """Whether the output of a class is not above all others at a place (1, ...), which has to be in the box."""
        outputs = self(share)[0]
        others = torch.cat([outputs[:label], outputs[label + 1 :]])
        return bool((self.lower <= self.upper).all()) and bool(others.amax() >= outputs[label])


def _inwards(end: Decimal, sign: int) -> float:
    """The float32 next to the end of a box, on the inner side or equal."""
    number = np.float32(float(end))
    while sign * (Decimal(float(number)) - end) < 0:
        number = np.nextafter(number, np.float32(sign * np.inf))
    return float(number)
