"""When the robustness metric counts in a search."""

from __future__ import annotations

from dsrna.config.settings import Settings
from dsrna.training.metric_weight import MetricWeight


def search_epochs(settings: Settings) -> tuple[int, int]:
    """Epochs of the search, and how many of them are without architecture steps, within the trainer's limits."""
    search, limit = settings.search, settings.trainer.limits.epochs
    epochs = search.epochs if limit is None else min(search.epochs, limit)
    return epochs, min(search.warmup_epochs, epochs - 1)


def metric_weight(settings: Settings) -> MetricWeight:
    """The metric's weight over the epochs of the search."""
    epochs, warmup = search_epochs(settings)
    metric = settings.metric
    return MetricWeight(metric.weight, warmup + metric.warmup_epochs, epochs, metric.weight_schedule)
