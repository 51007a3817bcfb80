"""The settings of a ranking: read and checked before any long work."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from dsrna.config.compose import typed_values
from dsrna.config.data_source import check_source
from dsrna.config.parts import build_part, located, number
from dsrna.config.ranges import RANGES, Ranges, from_one, misfits, out_of_range
from dsrna.config.settings import BenchmarkSettings, DataSettings, QuerySettings, RankSettings, ThreatSettings
from dsrna.config.validate import refuse, refuse_by
from dsrna.errors import ConfigError
from dsrna.types import Threat

_NODES = {"data": DataSettings, "threat": ThreatSettings, "benchmark": BenchmarkSettings}
_NO_PROXY = (
    "Expected at least one proxy, as in proxy=[croze,nwot]; `python -m dsrna list proxy` lists them. (conf: proxy)"
)
_SHARED = (("name",), ("seed",), ("resume",), ("out",))

_RANGES: Ranges = {
    **{keys: RANGES[keys] for keys in _SHARED},
    ("n",): ("at least 3 architectures, of the 15,625 there are", lambda value: 3 <= value <= 15625),
    ("images", "repeats"): from_one(1_000_000),
    ("cells",): RANGES["search.cells", "retrain.cells"],
    ("channels",): RANGES["search.channels", "retrain.channels"],
    ("bootstrap",): from_one(1_000_000),
    ("workers",): (
        "`auto` or a number of processes",
        lambda value: value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1),
    ),
    ("progress",): RANGES["trainer.progress",],
    ("data.pixels",): RANGES["data.pixels",],
    ("data.train_limit",): ("at least 1, or null for no limit", lambda value: value is None or value >= 1),
}


def rank_settings(config: DictConfig) -> RankSettings:
    """Typed and checked settings of a ranking.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    if "proxy" not in config:  # proxy=[] leaves no such key
        raise ConfigError(_NO_PROXY)
    settings = RankSettings(**typed_values(config, RankSettings, _NODES))
    refuse([*misfits(settings, _RANGES)])
    checks = (check_threat, _check_proxies, _check_space, _check_data, benchmark_eps)
    refuse_by(checks, settings, out_of_range(settings, _RANGES))
    return settings


def build_proxies(nodes: dict[str, Any]) -> dict[str, Any]:
    """Name -> proxy.

    Raises:
        ConfigError: a node is wrong.
    """
    return {name: build_part(node, f"proxy.{name}") for name, node in nodes.items()}


def check_threat(settings: RankSettings | QuerySettings) -> None:
    """Proxies attack in l_inf balls alone. Raises ConfigError for another norm, or a radius out of range."""
    norm = Threat(settings.threat.norm, number(settings.threat.eps, "threat.eps")).norm  # type: ignore[arg-type]
    if norm != "linf":
        raise ConfigError(f"Proxies that attack do so in l_inf balls, got {norm}: use threat=linf. (conf: threat.norm)")


def benchmark_eps(settings: RankSettings) -> list[float] | None:
    """The radii at which the tables' columns are compared; None for all."""
    given = settings.benchmark.eps
    if given is None:
        return None
    if not isinstance(given, list):
        raise ConfigError(f"Expected a list of radii or null for all, got {given!r}. (conf: benchmark.eps)")
    with located("benchmark.eps"):
        try:
            return [Threat("linf", number(eps, "benchmark.eps")).eps for eps in given]
        except ConfigError as error:
            raise ConfigError(str(error).replace("threat.eps", "benchmark.eps")) from error


def _check_proxies(settings: RankSettings) -> None:
    if not isinstance(settings.proxy, dict) or not settings.proxy:
        raise ConfigError(_NO_PROXY)
    build_proxies(settings.proxy)


def _check_space(settings: RankSettings) -> None:
    space = build_part(settings.space, "space")
    if space.name != "nasbench201":
        raise ConfigError(
            f"There are published tables of the space nasbench201 alone, got {space.name}: use space=nasbench201. "
            "(conf: space)"
        )


def _check_data(settings: RankSettings) -> None:
    check_source(settings.data, settings.space)
