"""Networks that draw random numbers when they classify, on which single gradients lead attacks astray."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrna.attacks import frozen
from dsrna.evaluation.base import EvaluationAttack

ROUNDING = 1e-4
"""Of the spread of the logits: by so much two passes may differ because sums are taken in another order."""


def draws_random_numbers(model: nn.Module, x: Tensor) -> bool:
    """Whether two passes over the same images in evaluation mode give different logits.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        x: (N, C, H, W) images in [0, 1].
    """
    with frozen(model), torch.no_grad(), torch.random.fork_rng(devices=_devices(x)):
        torch.manual_seed(0)
        first, second = model(x), model(x)
    spread = (first.amax() - first.amin()).clamp(min=torch.finfo(first.dtype).tiny)
    return bool(((first - second).abs().amax() / spread) > ROUNDING)


def random_check(attacks: Sequence[EvaluationAttack], draws: bool) -> dict[str, str]:
    """The check for gradient masking by random numbers, as :func:`dsrna.evaluation.masking.masking_checks` has it.

    References:
        Athalye et al., Obfuscated Gradients Give a False Sense of Security, ICML 2018, section 3.1, on stochastic
        gradients; its remedy is EoT, the gradient of the expectation.
    """
    averaging = [attack.label for attack in attacks if attack.averages_passes]
    if not draws:
        state, message = "passed", "two passes over the same images gave the same logits"
    elif averaging:
        state = "passed"
        message = f"the network draws random numbers when it classifies, and {', '.join(averaging)} averages over them"
    else:
        state = "failed"
        message = (
            "the network draws random numbers when it classifies, so that each pass has another gradient, and no "
            "attack averages over them: robustness is overestimated. Add one that does, as AutoAttack with "
            "version=rand, or APGD with passes=20."
        )
    return {"check": "random", "state": state, "message": message}


def _devices(x: Tensor) -> list[torch.device]:
    return [x.device] if x.device.type == "cuda" else []
