"""The settings of a ranking: read and checked before any long work."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from dsrna.config.model import check_all, read
from dsrna.config.parts import build_part
from dsrna.config.settings import RankSettings
from dsrna.config.validate import balls, check_root
from dsrna.errors import ConfigError


def rank_settings(config: DictConfig) -> RankSettings:
    """Typed and checked settings of a ranking.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    settings = read(RankSettings, config)
    check_all(
        [
            lambda: _check_space(settings),
            lambda: check_root(settings.data, settings.space),
            lambda: benchmark_eps(settings),
        ]
    )
    return settings


def build_proxies(nodes: dict[str, Any]) -> dict[str, Any]:
    """Name -> proxy."""
    return {name: build_part(node, f"proxy.{name}") for name, node in nodes.items()}


def benchmark_eps(settings: RankSettings) -> list[float] | None:
    """The radii at which the tables' columns are compared; None for all."""
    given = settings.benchmark.eps
    if given is None:
        return None
    if not isinstance(given, list):
        raise ConfigError(f"Expected a list of radii or null for all, got {given!r}. (conf: benchmark.eps)")
    return [ball.eps for ball in balls(given, "linf", "benchmark.eps")]


def _check_space(settings: RankSettings) -> None:
    space = build_part(settings.space, "space")
    if space.name != "nasbench201":
        raise ConfigError(
            f"There are published tables of the space nasbench201 alone, got {space.name}: use space=nasbench201. "
            "(conf: space)"
        )
