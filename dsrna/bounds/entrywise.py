"""Functions of single numbers, entry by entry."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

from dsrna.bounds.convex_function import EXP, RECIPROCAL, RSQRT, SQRT, SQUARE
from dsrna.bounds.scalar_function import ScalarFunction
from dsrna.bounds.smooth_function import ERF, GELU, SIGMOID, SILU, TANH
from dsrna.bounds.stand_in import StandIn

_POWERS = {2: SQUARE, 1 / 2: SQRT, -1: RECIPROCAL, -1 / 2: RSQRT}


class Entrywise(StandIn):
    """Activation functions, roots and powers, all by :meth:`_entrywise`."""

    @abstractmethod
    def _entrywise(self, function: ScalarFunction) -> Self:
        """A function of each value."""

    def sigmoid(self) -> Self:
        """See :func:`torch.sigmoid`."""
        return self._entrywise(SIGMOID)

    def tanh(self) -> Self:
        """See :func:`torch.tanh`."""
        return self._entrywise(TANH)

    def erf(self) -> Self:
        """See :func:`torch.erf`."""
        return self._entrywise(ERF)

    def gelu(self, approximate: str = "none") -> Self:
        """See :func:`torch.nn.functional.gelu`; not its approximation by tanh."""
        if approximate != "none":
            self._refuse(f"GELU with approximate={approximate!r}")
        return self._entrywise(GELU)

    def silu(self, inplace: bool = False) -> Self:
        """See :func:`torch.nn.functional.silu`."""
        output = self._entrywise(SILU)
        return self._become(output) if inplace else output

    def exp(self) -> Self:
        """See :func:`torch.exp`."""
        return self._entrywise(EXP)

    def square(self) -> Self:
        """See :func:`torch.square`."""
        return self._entrywise(SQUARE)

    def sqrt(self) -> Self:
        """See :func:`torch.sqrt`; of what is above 0 in the whole ball."""
        return self._entrywise(SQRT)

    def rsqrt(self) -> Self:
        """See :func:`torch.rsqrt`; of what is above 0 in the whole ball."""
        return self._entrywise(RSQRT)

    def reciprocal(self) -> Self:
        """See :func:`torch.reciprocal`; of what is above 0 in the whole ball."""
        return self._entrywise(RECIPROCAL)

    def pow(self, exponent: Any) -> Self:
        """See :func:`torch.pow`; the powers 2, 1/2, -1 and -1/2."""
        function = _POWERS.get(float(exponent)) if isinstance(exponent, int | float) else None
        if function is None:
            self._refuse(f"the power {exponent!r}, which is none of 2, 0.5, -1, -0.5")
        return self._entrywise(function)

    def __pow__(self, exponent: Any) -> Self:
        return self.pow(exponent)
