"""What no setting decides by itself: how settings go together, and what follows from several of them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from dsrna.config.compose import run_settings
from dsrna.config.devices import check_devices
from dsrna.config.model import Check, check_all
from dsrna.config.objectives import retrain_objective
from dsrna.config.parts import build_part, located, nearest, number, target_of, with_fractions
from dsrna.config.search_parts import check_alphas_optimizer, check_search_parts
from dsrna.config.settings import DataSettings, Settings
from dsrna.config.sweep_objective import sweep_objective
from dsrna.errors import ConfigError
from dsrna.types import Norm, Threat

if TYPE_CHECKING:  # importing them takes a second, which only those wait for who need them
    from dsrna.evaluation.base import EvaluationAttack
    from dsrna.evaluation.corruption_sweep import CorruptionSweep
    from dsrna.evaluation.spatial import SpatialGrid
    from dsrna.verification.settings import Verification
    from dsrna.verification.smoothing import Smoothing

_TABLES_OF = "nasbench201"


def validated(config: DictConfig) -> Settings:
    """Typed settings from a composed config, checked by themselves and by :func:`checks_of`.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    return run_settings(Settings, config, checks_of)


def settings_noted_in(config_yaml: Path) -> Settings:
    """The settings of a run that another process has begun, for working silently beside it."""
    config = OmegaConf.load(config_yaml)
    assert isinstance(config, DictConfig)
    config.trainer.progress, config.logger = "off", {}
    return validated(config)


def validate(settings: Settings) -> None:
    """Raises one ConfigError that lists all settings that don't go together."""
    check_all(checks_of(settings))


def checks_of(settings: Settings) -> list[Check]:
    """Whether settings go together. None of them loads data or builds a network."""
    return [
        lambda: _check_stages(settings),
        lambda: _check_warmup(settings),
        lambda: _check_external(settings),
        *(partial(_check_compiler, settings, stage) for stage in ("retrain", "evaluate")),
        lambda: _check_limits(settings),
        lambda: eps_curve(settings),
        lambda: further_threats(settings),
        lambda: verification(settings),
        lambda: attack_grid(settings),
        lambda: _check_certified(settings),
        lambda: check_search_parts(settings),
        lambda: check_alphas_optimizer(settings),
        lambda: check_root(settings.data, settings.space),
        lambda: sweep_objective(settings),
        lambda: check_devices(settings),
    ]


def threat_of(settings: Settings) -> Threat:
    """The threat model that metric, attack and retrain share."""
    return settings.threat.value


def further_threats(settings: Settings) -> list[Threat]:
    """What ``evaluate.threats`` asks for.

    Raises:
        ConfigError: one of them is the run's own, stands there twice, or no attack knows its norm.
    """
    where, known = "evaluate.threats", [threat_of(settings)]
    for node in settings.evaluate.threats:
        threat = node.value
        if threat in known:
            raise ConfigError(
                f"Expected threat models that differ from `threat` and from one another, got "
                f"{threat.label} twice. (conf: {where})"
            )
        known.append(threat)
        attacks = [
            build_part(part, f"evaluate.attacks.{name}") for name, part in settings.evaluate.attacks.items() if part
        ]
        if attacks and not any(threat.norm in attack.norms for attack in attacks):
            raise ConfigError(
                f"None of the attacks searches balls of the norm {threat.norm}; AutoAttack, APGD and Square do. "
                f"(conf: {where})"
            )
    return known[1:]


def balls(eps: Sequence[Any], norm: Norm, where: str) -> list[Threat]:
    """The balls of these radii, numbers or fractions such as 8/255."""
    with located(where):
        return [Threat(norm, number(each, "")) for each in eps]


def eps_curve(settings: Settings) -> list[float]:
    """The radii of the curve of robust accuracy against eps; ``auto`` spreads them over [0, 3 eps]."""
    threat, curve = threat_of(settings), settings.evaluate.eps_curve
    if curve == "auto":
        largest = 1.0 if threat.norm == "linf" else float("inf")
        return [min(largest, factor * threat.eps) for factor in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)]
    if not isinstance(curve, list):
        raise ConfigError(f"Expected `auto` or a list of radii, got {curve!r}. (conf: evaluate.eps_curve)")
    return [ball.eps for ball in balls(curve, threat.norm, "evaluate.eps_curve")]


def attack_grid(settings: Settings) -> dict[str, tuple[EvaluationAttack, list[Threat]]]:
    """What ``evaluate.grid`` asks for: name -> the attack and the balls that it attacks in, of the threat's norm."""
    return {
        name: (
            build_part(node.attack, f"evaluate.grid.{name}.attack"),
            balls(node.eps, threat_of(settings).norm, f"evaluate.grid.{name}.eps"),
        )
        for name, node in settings.evaluate.grid.items()
        if node is not None
    }


def verification(settings: Settings) -> Verification | None:
    """What ``evaluate.verify`` asks for, None where it is switched off; ``auto`` stands for what the attacks get."""
    where, node, threat = "evaluate.verify", settings.evaluate.verify, threat_of(settings)
    if node is None:
        return None
    kind = "dsrna.verification.settings.Verification"
    target_of(node, where, kind)
    given = with_fractions(node)
    if given.get("norm", "auto") == "auto":
        given["norm"] = threat.norm
    if given.get("eps", "auto") == "auto":
        if given["norm"] != threat.norm:
            raise ConfigError(
                f"Expected a list of radii for the norm {given['norm']}, got `auto`, which takes those of the threat "
                f"model, and that is {threat.norm}. (conf: {where}.eps)"
            )
        given["eps"] = [eps for eps in (*eps_curve(settings), threat.eps) if eps > 0]
    built: Verification = build_part(given, where)
    return built


def smoothing(settings: Settings) -> Smoothing | None:
    """What ``evaluate.smoothing`` asks for, None where it is switched off."""
    node = settings.evaluate.smoothing
    return _part_or_none(node and with_fractions(node), "evaluate.smoothing")


def corruption_sweep(settings: Settings) -> CorruptionSweep | None:
    """What ``evaluate.corruptions`` asks for, None where it is switched off."""
    return _part_or_none(settings.evaluate.corruptions, "evaluate.corruptions")


def spatial(settings: Settings) -> SpatialGrid | None:
    """What ``evaluate.spatial`` asks for, None where it is switched off."""
    return _part_or_none(settings.evaluate.spatial, "evaluate.spatial")


def _part_or_none(node: dict[str, Any] | None, where: str) -> Any:
    return None if node is None else build_part(node, where)


def check_root(data: DataSettings, space: Any) -> None:
    """Checks that somebody reads ``data.root`` where it is given.

    Args:
        data: the settings.
        space: the search space's node; there are published tables of one, which are looked for in the data root.

    Raises:
        ConfigError: nothing is looked for in the data root.
    """
    takes = inspect.signature(target_of(data.source, "data.source")).parameters
    if data.root is None or "root" in takes or build_part(space, "space").name == _TABLES_OF:
        return
    name = data.source["_target_"].rpartition(".")[2]
    raise ConfigError(
        f"`{name}` reads nothing from a data root, and there are no published tables of this search space to look for "
        f"in {data.root}: leave it out, or say data.root=null. (conf: data.root)"
    )


def _check_certified(settings: Settings) -> None:
    if settings.retrain.certified:  # it may need a package
        retrain_objective(settings.certified.objective, "certified.objective", threat_of(settings))


def _check_stages(settings: Settings) -> None:
    stages = settings.stages
    if "search" in stages and settings.start_from is not None:
        raise ConfigError("`from` starts after the search: use dsrna.retrain or dsrna.evaluate. (conf: from)")
    if "search" in stages and "evaluate" in stages and "retrain" not in stages:
        raise ConfigError("A search leaves no trained network to evaluate: add `retrain` to the stages. (conf: stages)")


def _check_warmup(settings: Settings) -> None:
    search = settings.search
    if "search" in settings.stages and search.warmup_epochs >= search.epochs:
        raise ConfigError(
            f"{search.warmup_epochs} warm-up epochs leave none of the {search.epochs} epochs for architecture steps. "
            "(conf: search.warmup_epochs)"
        )


def _check_external(settings: Settings) -> None:
    if settings.model is not None and "search" in settings.stages:
        raise ConfigError(
            "`model` is what is evaluated or retrained, and a search has its own: use dsrna.evaluate or dsrna.retrain. "
            "(conf: model)"
        )
    for problem in settings.contradictions(settings.start_from, "retrain" in settings.stages):
        raise ConfigError(problem)


def _check_limits(settings: Settings) -> None:
    known = settings.evaluate.attacks
    for name in settings.trainer.limits.attacks or []:
        if name not in known:
            close = nearest(name, known)
            raise ConfigError(
                f"Unknown attack `{name}`.{close} Choose from: {', '.join(known)}. (conf: trainer.limits.attacks)"
            )


def _check_compiler(settings: Settings, stage: str) -> None:
    if not getattr(settings, stage).torch_compile:
        return
    import torch

    from dsrna.nn.edges.compiled.library import cpp_compiler

    if (settings.trainer.accelerator == "cpu" or not torch.cuda.is_available()) and cpp_compiler() is None:
        raise ConfigError(
            f"torch.compile needs a C++ compiler (c++, g++, clang++), found none. (conf: {stage}.torch_compile)"
        )
