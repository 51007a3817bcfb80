"""NWOT, how differently images switch the ReLUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.errors import UnsupportedError
from dsrna.proxies.base import Proxy


class Nwot(Proxy):
    """log |det K|, K_ij the number of ReLU units that images i and j switch alike. Doesn't look at classes.

    Cost: a forward pass. Source: Mellor et al., Neural architecture search without training, ICML 2021, eq. 2.

    Raises:
        UnsupportedError: the network has no ``nn.ReLU``.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        agreements = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)

        def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # on and on, plus off and off: with signs s = +-1, (units + <s_i, s_j>) / 2, one product instead of two
            signs = torch.where(inputs[0] > 0, 1.0, -1.0).flatten(1)
            agreements.add_((signs.shape[1] + (signs @ signs.T).double()) / 2)

        switches = [module for module in model.modules() if isinstance(module, nn.ReLU)]
        if not switches:
            raise UnsupportedError(f"Expected a network with nn.ReLU layers, got {type(model).__name__} without any.")
        for module in switches:
            module.register_forward_pre_hook(count)
        with torch.no_grad():
            model(x)
        return torch.linalg.slogdet(agreements).logabsdet
