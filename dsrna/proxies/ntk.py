"""Neural tangent kernels of clean and attacked images."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from dsrna.attacks.pgd import PGD, check_count
from dsrna.errors import ConfigError
from dsrna.functional.eigenvalues import eigenvalues
from dsrna.proxies.base import Proxy

Kernel = Literal["clean", "cross", "robust", "cross_twice", "twice", "clean_error", "robust_error"]
Statistic = Literal["min_eigenvalue", "condition_number", "trace"]

# How often the images of each side were attacked: K_ij = k(a_i, b_j).
_SIDES = {"clean": (0, 0), "cross": (0, 1), "robust": (1, 1), "cross_twice": (1, 2), "twice": (2, 2)}
_MIXED = {"clean_error": 0, "robust_error": 1}

_COLUMNS = 1 << 16
"""How many parameters' gradients are made double at a time."""


class NeuralTangentKernel(Proxy):
    """A number of the kernel K_ij = <phi(a_i), phi(b_j)>, phi(x) the gradient of the summed logits to all parameters.

    With x' = A(x) a PGD example of x, and x'' = A(x') one of x' with a ball of its own:

        ``clean`` k(x, x), ``cross`` k(x, x'), ``robust`` k(x', x'), ``cross_twice`` k(x', x''), ``twice`` k(x'', x'')
        ``clean_error``   (1-b)^2 clean + b(1-b) (cross + cross^T) + b^2 robust, eq. 4, which bounds the clean error
        ``robust_error``  (1-b)^2 robust + b(1-b) (cross_twice + cross_twice^T) + b^2 twice, eq. 5, the robust error

    b = ``beta`` is the share of adversarial images in training. The mixtures are Gram matrices of (1-b) phi(x) +
    b phi(x'), which is how they are computed. Of a cross kernel the symmetric part is taken.

    ``min_eigenvalue`` and ``trace`` are scores as they are; ``condition_number`` scores -max |v| / min |v|.
    BatchNorm's statistics are those of the clean batch, held constant, so that every image has a gradient of its own.

    Cost: a forward pass, one forward and backward pass an image and number of attacks, with per-image weight gradients,
    and ``steps`` forward and backward passes for each attack. Memory: 4 (N P) bytes a side for N images and P
    parameters, twice that for mixtures.

    Args:
        kernel: see above.
        statistic: see above.
        beta: in [0, 1]; only the two mixtures look at it.
        eps: radius of the attack in [0, 1] pixel units, l_inf.
        steps: of the attack.
        chunk: images whose gradients are computed at a time.

    Source: Wu et al., Robust NAS under adversarial training, ICLR 2024, eqs. 4 and 5, theorem 1; how the authors'
    scores were computed isn't known here.

    Raises:
        ConfigError: a setting is out of range.
    """

    batch_norm = "calibrated"

    def __init__(
        self,
        kernel: Kernel = "clean",
        statistic: Statistic = "min_eigenvalue",
        beta: float = 0.5,
        eps: float = 8 / 255,
        steps: int = 7,
        chunk: int = 8,
    ) -> None:
        _expect_one_of("kernel", kernel, get_args(Kernel))
        _expect_one_of("statistic", statistic, get_args(Statistic))
        if not 0 <= beta <= 1:
            raise ConfigError(f"Expected `beta` in [0, 1], got {beta}. (conf: beta)")
        check_count("chunk", chunk)
        self.kernel, self.statistic, self.beta, self.chunk = kernel, statistic, beta, chunk
        self.attack = PGD("linf", eps, steps=steps)

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        with torch.no_grad():
            model(x)  # calibrates BatchNorm
        if self.kernel in _MIXED:
            base = _MIXED[self.kernel]
            images = self._attacked(model, x, y, generator, base + 1)
            rows = tangents(model, images[base], self.chunk).mul_(1 - self.beta)
            rows.add_(tangents(model, images[base + 1], self.chunk), alpha=self.beta)
            return self._statistic(_products(rows, rows))
        first, second = _SIDES[self.kernel]
        images = self._attacked(model, x, y, generator, second)
        rows = tangents(model, images[first], self.chunk)
        matrix = _products(rows, rows if first == second else tangents(model, images[second], self.chunk))
        return self._statistic((matrix + matrix.T) / 2)

    def _attacked(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None, times: int
    ) -> list[Tensor]:
        """The images, attacked 0 to ``times`` times."""
        images = [x]
        for _ in range(times):
            images.append(self.attack(model, images[-1], y, generator))
        return images

    def _statistic(self, kernel: Tensor) -> Tensor:
        if self.statistic == "trace":
            return kernel.trace()
        values = eigenvalues(kernel)
        return values[0] if self.statistic == "min_eigenvalue" else -values.abs().max() / values.abs().min()


def tangents(model: nn.Module, x: Tensor, chunk: int) -> Tensor:
    """(N, P) gradient of every image's summed logits to all parameters.

    Args:
        model: a network that treats every image by itself.
        x: (N, C, H, W).
        chunk: images at a time.
    """
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def output(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        return functional_call(model, (parameters, buffers), (image[None],)).sum()

    rows = x.new_empty(len(x), sum(parameter.numel() for parameter in parameters.values()))
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        gradients = vmap(grad(output), in_dims=(None, 0))(parameters, part)
        torch.cat([gradients[name].detach().flatten(1) for name in parameters], dim=1, out=rows[start : start + chunk])
    return rows


def _products(a: Tensor, b: Tensor) -> Tensor:
    """a b^T in double precision: small eigenvalues would drown in the rounding of the large ones."""
    blocks = zip(a.split(_COLUMNS, 1), b.split(_COLUMNS, 1), strict=True)
    zeros = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    return sum((left.double() @ right.double().T for left, right in blocks), start=zeros)


def _expect_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"Expected `{name}` to be one of {', '.join(choices)}, got {value!r}. (conf: {name})")
