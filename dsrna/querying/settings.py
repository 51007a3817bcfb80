"""The settings of searches by queries: read and checked before any long work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from omegaconf import DictConfig, open_dict

from dsrna.config.kinds import MethodPart, ProxyPart
from dsrna.config.model import read
from dsrna.config.parts import build_part
from dsrna.config.validate import check_root
from dsrna.config.value_types import BatchSize
from dsrna.errors import ConfigError
from dsrna.ranking.settings import ProxySettings, at_least_one

if TYPE_CHECKING:
    from dsrna.query_searches.base import QuerySearch

PROXY = "proxy/"
"""Begins the name of an objective that is a proxy computed here."""

_TABLES_OF = "nasbench201"
_USUAL: dict[str, list[str]] = {
    "guide": ["robbench/pgd@8/255", "robbench/clean"],
    "judge": ["robbench/pgd@8/255", "robbench/clean", "robbench/fgsm@8/255", "robbench/autoattack"],
    "objectives": ["robbench/pgd@8/255", "robbench/clean", "size/params"],
}


class QuerySettings(ProxySettings):
    """All settings of searches by queries, resolved. Lists of columns are null where the space decides."""

    method: Annotated[dict[str, MethodPart], at_least_one("method", "local,genetic")]
    proxy: dict[str, ProxyPart]
    guide: Any
    judge: Any
    objectives: Any
    front: Any
    budget: BatchSize


def query_settings(config: DictConfig) -> QuerySettings:
    """Typed and checked settings of searches by queries, with the usual columns where none are given.

    Whether the tables have the columns is only known when they are opened.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    with open_dict(config):  # method=[] and proxy=[] leave no such key
        for group in ("method", "proxy"):
            config.setdefault(group, {})
    return read(
        QuerySettings,
        config,
        lambda settings: [
            lambda: _fill_in(settings),
            lambda: _check_methods(settings),
            lambda: _check_proxies(settings),
            lambda: _check_objectives(settings),
            lambda: check_root(settings.data, settings.space),
        ],
    )


def build_methods(settings: QuerySettings) -> dict[str, QuerySearch]:
    """Name -> search."""
    return {name: build_part(node, f"method.{name}") for name, node in settings.method.items()}


def _fill_in(settings: QuerySettings) -> None:
    """The usual columns in place of null; none on a space without tables."""
    from dsrna.query_searches.encoding import gene_space  # imports torch

    space = build_part(settings.space, "space")
    gene_space(space)
    has_tables = space.name == _TABLES_OF
    for key in ("guide", "judge", "objectives", "front"):
        given = getattr(settings, key)
        if given is None:
            given = list(_USUAL.get(key, ())) if has_tables else []
            if key == "guide" and settings.proxy:
                given = []
            if key == "front" and all(not name.startswith(PROXY) for name in settings.objectives):
                given = list(settings.objectives)
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise ConfigError(f"Expected a list of columns, as in {key}=[robbench/clean], got {given!r}. (conf: {key})")
        if len(set(given)) != len(given):
            raise ConfigError(f"Expected every column once, got {', '.join(given)}. (conf: {key})")
        tabulated = [name for name in given if not name.startswith(PROXY)]
        if tabulated and not has_tables:
            raise ConfigError(
                f"There are published tables of the space {_TABLES_OF} alone, so that {tabulated[0]} can't be looked "
                f"up for {space.name}: leave `{key}` out and choose proxies, as in proxy=[croze]. (conf: {key})"
            )
        setattr(settings, key, given)


def _check_methods(settings: QuerySettings) -> None:
    methods = build_methods(settings)
    for name, method in methods.items():
        if settings.budget < method.fewest_queries:
            raise ConfigError(
                f"Expected a budget of at least {method.fewest_queries} queries for method.{name}, which begins with "
                f"{method.fewest_queries - 1} random architectures, got {settings.budget}. (conf: budget)"
            )
    if any(not method.several_objectives for method in methods.values()) and not guides_of(settings):
        raise ConfigError("Expected something that guides: guide=[robbench/clean] or proxy=[croze]. (conf: guide)")


def guides_of(settings: QuerySettings) -> list[str]:
    """What guides searches for one objective: columns, then proxies."""
    return [*(settings.guide or ()), *(PROXY + name for name in settings.proxy)]


def _check_proxies(settings: QuerySettings) -> None:
    for key in ("guide", "judge", "front"):
        for name in getattr(settings, key) or ():
            if name.startswith(PROXY):
                raise ConfigError(
                    f"{name} is no column of a table: proxies that are chosen by proxy=[{name.removeprefix(PROXY)}] "
                    f"guide without being listed, and can't judge. (conf: {key})"
                )


def _check_objectives(settings: QuerySettings) -> None:
    names: Sequence[str] = settings.objectives or ()
    for name in names:
        if name.startswith(PROXY) and name.removeprefix(PROXY) not in settings.proxy:
            asked = name.removeprefix(PROXY)
            raise ConfigError(f"{name} needs this proxy: add {asked} to proxy=[…]. (conf: objectives)")
    if _several(settings) and len(names) < 2:
        raise ConfigError(
            f"Expected at least two objectives for {', '.join(_several(settings))}, as in "
            f"objectives=[{PROXY}croze,{PROXY}params] with proxy=[croze,params], got {len(names)}. (conf: objectives)"
        )
    if len(settings.front or ()) == 1:
        raise ConfigError("Expected at least two columns to measure hypervolumes in, got one. (conf: front)")


def _several(settings: QuerySettings) -> list[str]:
    return [name for name, method in build_methods(settings).items() if method.several_objectives]
