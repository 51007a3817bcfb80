"""The settings of a ranking: read and checked before any long work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import AfterValidator, Field

from dsrna.config.kinds import ProxyPart, SpacePart
from dsrna.config.model import Model, read, refused
from dsrna.config.parts import build_part
from dsrna.config.settings import DataSettings, RunSettings
from dsrna.config.threat_settings import ThreatSettings
from dsrna.config.validate import balls, check_root
from dsrna.config.value_types import Cells, Channels, Count, Progress
from dsrna.errors import ConfigError


def _check_linf(threat: ThreatSettings) -> ThreatSettings:
    if threat.norm != "linf":
        raise refused(
            ConfigError(f"Proxies that attack do so in l_inf balls, got {threat.norm}: use threat=linf. (conf: norm)")
        )
    return threat


class TableSettings(Model):
    root: str | None
    dataset: str


class BenchmarkSettings(TableSettings):
    metrics: Annotated[list[str] | None, Field(description="a list of metrics, or null for all")]
    eps: Any  # a list of numbers and fractions, or null


class ProxySettings(RunSettings):
    """What rankings and searches by queries share: networks that aren't trained, and the published tables."""

    data: DataSettings
    threat: Annotated[ThreatSettings, AfterValidator(_check_linf)]
    space: SpacePart
    images: Count
    repeats: Count
    cells: Cells
    channels: Channels
    benchmark: TableSettings
    progress: Progress


def at_least_one(group: str, example: str) -> Any:
    """A group of which at least one choice is needed."""
    listed = f"`python -m dsrna list {group}` lists them"
    return Field(
        default_factory=dict,
        validate_default=True,
        min_length=1,
        description=f"at least one {group}, as in {group}=[{example}] ({listed})",
    )


class RankSettings(ProxySettings):
    """All settings of one ranking, resolved."""

    proxy: Annotated[dict[str, ProxyPart], at_least_one("proxy", "croze,nwot")]
    n: Annotated[int, Field(ge=3, le=15625, description="at least 3 architectures, of the 15,625 there are")]
    benchmark: BenchmarkSettings
    bootstrap: Count
    workers: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=2**63 - 1)],
        Field(description="`auto` or a number of processes"),
    ]


def rank_settings(config: DictConfig) -> RankSettings:
    """Typed and checked settings of a ranking.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    return read(
        RankSettings,
        config,
        lambda settings: [
            lambda: _check_space(settings),
            lambda: check_root(settings.data, settings.space),
            lambda: benchmark_eps(settings),
        ],
    )


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
