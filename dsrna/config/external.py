"""Settings of a network that isn't dsrna's: what builds it, where its weights are, what normalises its images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from dsrna.config.model import Model


class NormalizationSettings(Model):
    mean: list[float]
    std: list[float]


class ExternalSettings(Model):
    """Optional in every config: only ``evaluate`` and ``retrain`` have the keys."""

    model: Annotated[str | None, Field(description="a name as torchvision:resnet18 or MODULE:NAME, or null")] = None
    model_arguments: Annotated[dict[str, Any] | None, Field(description="a mapping of arguments, or null")] = None
    checkpoint: Annotated[str | None, Field(description="a file with the model's weights, or null")] = None
    normalization: Literal["data"] | NormalizationSettings | None = None

    def contradictions(self, start_from: str | None, trains: bool) -> Iterator[str]:
        """What doesn't go together, a sentence each.

        Args:
            start_from: the setting ``from``.
            trains: whether there is a retrain stage.
        """
        given = [name for name in ("model_arguments", "checkpoint", "normalization") if getattr(self, name) is not None]
        if self.model is None:
            yield from (f"`{name}` is of a `model`, and none is given. (conf: {name})" for name in given)
            return
        if start_from is not None and trains:
            yield "Either `from` or `model` says what is retrained: leave out one of them. (conf: from)"
        if start_from is not None and given:
            yield (
                "What `from` names knows its weights, arguments and normalisation; beside it, `model` only says that "
                f"its code may be imported: leave out {', '.join(given)}. (conf: from)"
            )
        if trains and self.checkpoint is not None:
            yield (
                "Retraining starts from new weights: leave out `checkpoint`, or evaluate it: `python -m "
                "dsrna.evaluate model=… checkpoint=…`. (conf: checkpoint)"
            )
