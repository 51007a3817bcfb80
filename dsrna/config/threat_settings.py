"""Threat models as they stand in a config."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from dsrna.config.model import Model, refused
from dsrna.config.parts import number
from dsrna.errors import DsrnaError
from dsrna.types import Norm, Threat


class BallSettings(Model):
    """A threat model; ``value`` is what all others are given."""

    norm: Norm
    eps: Any  # a number, or a fraction such as 8/255

    @property
    def value(self) -> Threat:
        return Threat(self.norm, number(self.eps, "eps"))

    @field_validator("eps")
    @classmethod
    def _check(cls, eps: Any, info: ValidationInfo) -> Any:
        try:
            Threat(info.data.get("norm", "l2"), number(eps, ""))
        except DsrnaError as error:
            raise refused(error) from error
        return eps


class ThreatSettings(BallSettings):
    """The threat model of the run; in l_1 there are attacks to evaluate by, but none to train by."""

    norm: Literal["linf", "l2"]
