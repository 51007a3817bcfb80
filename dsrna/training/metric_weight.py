"""The weight gamma of the robustness metric over the epochs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricWeight:
    """gamma in L_val - gamma * R.

    Attributes:
        weight: its final value, >= 0 (0.01 in DSRNA).
        start: first epoch (from 0) in which the metric counts: the end of the weights' and the metric's warm-up.
        epochs: number of epochs of the search.
        schedule: ``"constant"``, or ``"linear"``: grows in equal steps and reaches ``weight`` in the last epoch.

    >>> gamma = MetricWeight(weight=0.4, start=1, epochs=5, schedule="linear")
    >>> [round(gamma.at(epoch), 2) for epoch in range(5)]
    [0.0, 0.1, 0.2, 0.3, 0.4]
    """

    weight: float
    start: int
    epochs: int
    schedule: str = "constant"

    def at(self, epoch: int) -> float:
        """gamma in ``epoch`` (counted from 0)."""
        if epoch < self.start:
            return 0.0
        if self.schedule == "linear":
            return self.weight * (epoch - self.start + 1) / max(1, self.epochs - self.start)
        return self.weight
