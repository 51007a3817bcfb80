"""Whether weights from a file are a network's: wrappers' prefixes are taken off, and what doesn't fit is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
"""What DataParallel, torch.compile, and the usual attributes of LightningModules put before every key."""

_SHOWN = 3


def unwrapped(weights: Mapping[str, Tensor], own: Collection[str] = ()) -> dict[str, Tensor]:
    """The same weights under the network's own names: without prefixes that all of them have.

    Args:
        weights: as a file has them.
        own: names of the network's weights, where they may have such prefixes themselves.

    >>> list(unwrapped({"model._orig_mod.stem.bias": 1, "model._orig_mod.head.bias": 2}))
    ['stem.bias', 'head.bias']
    """
    found = dict(weights)
    while found and not any(key in own for key in found):
        shared = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in found)), None)
        if shared is None:
            break
        found = {key.removeprefix(shared): value for key, value in found.items()}
    return found


def misfit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], classes: int) -> str | None:
    """What is wrong with weights for a network, in words, with the likely reason; None where they fit.

    Args:
        weights: as a file has them.
        expected: the network's own, of which only names and shapes matter.
        classes: number of classes of the network.
    """
    found = differences(weights, expected)
    return None if found is None else f"{found}. {_reason(weights, expected, *_keys(weights, expected), classes)}"


def differences(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """The keys in which weights aren't a network's, in words; None where they fit."""
    missing, unknown, other = _keys(weights, expected)
    parts = [
        _listed("missing", missing),
        _listed("not of this network", unknown),
        _listed("of another shape", [f"{k} {_sizes(weights[k])} for {_sizes(expected[k])}" for k in other]),
    ]
    return "; ".join(part for part in parts if part) or None


def _keys(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Those that are missing, unknown, and of another shape."""
    return (
        [key for key in expected if key not in weights],
        [key for key in weights if key not in expected],
        [key for key in expected if key in weights and weights[key].shape != expected[key].shape],
    )


def _reason(
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    missing: Sequence[str],
    unknown: Sequence[str],
    other: Sequence[str],
    classes: int,
) -> str:
    if len(missing) == len(expected):
        return (
            "Not one key fits: these are the weights of another network, or of a wrapper whose prefix isn't one of "
            f"{', '.join(PREFIXES)}: take it off."
        )
    if all(key.startswith("auxiliary_head.") for key in (*missing, *unknown)) and not other:
        return f"Probably it was trained {'without' if missing else 'with'} an auxiliary head (retrain.auxiliary)."
    if other and all(expected[key].ndim > 0 and expected[key].shape[0] == classes for key in other):
        of = {weights[key].shape[0] for key in other if weights[key].ndim > 0}
        return f"Probably it was trained on {'/'.join(map(str, sorted(of)))} classes, where {classes} are said."
    if other and not (missing or unknown):
        return "Probably it was trained with another number of channels (retrain.channels), or on images of other size."
    return "Probably it is of another genotype, or of another number of cells (retrain.cells), or incomplete."


def _listed(what: str, names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return f"{what}: {', '.join(names[:_SHOWN])}{more}" if names else ""


def _sizes(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"
