"""What every corruption of images promises, as one function to call from a test."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.errors import DataError

Corruption = Callable[[Tensor, int, torch.Generator], Tensor]
"""(images (N, C, H, W) in [0, 1], severity, generator) -> corrupted images."""

SEVERITIES = (1, 2, 3, 4, 5)
LEVEL = 1 / 255


def check_corruption(corruption: Corruption, *, draws: bool, grey: bool = True, grows: bool = True) -> None:
    """Runs a corruption on made-up images and checks what the contract says of it.

    New images of the shape and type of the given ones, which stay as they are, as bytes would hold them: values k / 255
    in [0, 1]; without a graph; on images of every size from 16 x 16, of any memory format, black, white and of one
    colour too. Every severity changes them, nearly each by another amount, 5 more than 1, and leaves a likeness. The
    same generator seed gives the same images and torch's global random numbers aren't drawn; if it draws, another seed
    gives others, and so does each place in the batch; if not, the generator isn't touched and single and double
    precision agree. An image doesn't depend on its batch mates.

    Args:
        corruption: as users call it, e.g. ``lambda x, severity, draw: corrupt(x, "fog", severity, draw)``.
        draws: whether it is random.
        grey: whether it takes images of one channel; else it must refuse them.
        grows: whether severity 5 moves pixels' values further than severity 1.

    Raises:
        AssertionError: the corruption breaks the contract; the message says how.
    """
    _check_images(corruption, grey=grey)
    _check_randomness(corruption, draws=draws)
    _check_batch(corruption, draws=draws)
    _check_severity(corruption, grows=grows)


def _check_images(corruption: Corruption, *, grey: bool) -> None:
    for dtype in (torch.float32, torch.float64):
        for name, x in _batches(dtype).items():
            before = x.clone()
            for severity in (1, 5):
                found = corruption(x.requires_grad_(), severity, _generator())
                x.requires_grad_(False)
                _check_bytes(found, x, f"{name}, severity {severity}")
            assert torch.equal(x, before), f"{name}: the given images changed"
            assert x.data_ptr() != found.data_ptr(), f"{name}: gives the images themselves, not new ones"
    x = _images(2, 16, 16)[:, :1]
    try:
        found = corruption(x, 3, _generator())
    except DataError:
        refuses = True
    else:
        refuses = False
        _check_bytes(found, x, "grey")
    assert refuses is not grey, "refuses grey images" if grey else "accepts grey images, which it says it doesn't"


def _check_bytes(found: Tensor, x: Tensor, name: str) -> None:
    assert found.shape == x.shape, f"{name}: expected shape {tuple(x.shape)}, got {tuple(found.shape)}"
    assert found.dtype == x.dtype, f"{name}: expected {x.dtype}, got {found.dtype}"
    assert not found.requires_grad, f"{name}: the images have a graph"
    assert bool(found.isfinite().all()), f"{name}: the images hold NaN"
    assert bool((found >= 0).all() and (found <= 1).all()), f"{name}: the images leave [0, 1]"
    levels = 255 * found.double()
    assert torch.allclose(levels, levels.round(), atol=1e-3), f"{name}: values that bytes can't hold"


def _check_randomness(corruption: Corruption, *, draws: bool) -> None:
    x, draw = _images(2, 20, 24), _generator()
    before, position = torch.random.get_rng_state(), draw.get_state()
    found = corruption(x, 3, draw)
    assert torch.equal(torch.random.get_rng_state(), before), "torch's global random numbers were drawn"
    assert torch.equal(found, corruption(x, 3, _generator())), "two calls with one seed differ"
    if not draws:
        assert torch.equal(draw.get_state(), position), "it says that it draws nothing, but the generator moved"
        return
    assert not torch.equal(found, corruption(x, 3, _generator(1))), "it says that it draws, but not by the seed"
    twins = corruption(x[:1].repeat(2, 1, 1, 1), 3, _generator())
    assert not torch.equal(twins[0], twins[1]), "every image of a batch gets the same draws"


def _check_batch(corruption: Corruption, *, draws: bool) -> None:
    x = _images(3, 20, 24)
    found = corruption(x, 4, _generator())
    for mates in (1 - x[1:], 0.1 * x[1:]):
        assert torch.equal(corruption(torch.cat([x[:1], mates]), 4, _generator())[0], found[0]), (
            "an image depends on its batch mates"
        )
    other = corruption(x.contiguous(memory_format=torch.channels_last), 4, _generator())
    assert bool(((other - found).abs() <= 1.01 * LEVEL).all()), "the images depend on their memory format"
    assert not torch.equal(corruption(x.flip(0), 4, _generator()), found), "the images don't depend on the given ones"
    if draws:
        return
    alone = torch.cat([corruption(image[None], 4, _generator()) for image in x])
    assert torch.equal(alone, found), "an image alone becomes another one than in its batch"
    precise = corruption(x.double(), 4, _generator())
    assert bool(((precise - found).abs() <= 1.01 * LEVEL).all()), "single and double precision differ"


def _check_severity(corruption: Corruption, *, grows: bool) -> None:
    x = _images(8, 32, 32)
    distances = []
    for severity in SEVERITIES:
        found = corruption(x, severity, _generator())
        distances.append((found - x).abs().mean().item())
        assert distances[-1] > 0, f"severity {severity} changes nothing"
        likeness = torch.corrcoef(torch.stack([x.flatten(), found.flatten()]))[0, 1].item()
        assert likeness > 0.1, f"severity {severity} leaves nothing of the images: correlation {likeness:.2f} with them"
    # Two of motion blur's, as published, come to the same: its kernel's tail weighs nothing.
    assert len(set(distances)) >= 4, f"severities do the same: they change the images by {distances} in the mean"
    assert not grows or distances[-1] > 1.2 * distances[0], (
        f"severity 5 changes the images by {distances[-1]:.4f} in the mean, severity 1 by {distances[0]:.4f}"
    )


def _batches(dtype: torch.dtype) -> dict[str, Tensor]:
    x = _images(2, 32, 32).to(dtype)
    return {
        "square": x,
        "the smallest": _images(1, 16, 16).to(dtype),
        "wide": _images(2, 17, 31).to(dtype),
        "tall": _images(2, 40, 18).to(dtype),
        "black": torch.zeros_like(x),
        "white": torch.ones_like(x),
        "of one colour": x[:, :, :1, :1].expand_as(x).contiguous(),
    }


def _images(count: int, height: int, width: int) -> Tensor:
    """Smooth images in colour, as bytes."""
    x = torch.rand(count, 3, height // 4 + 1, width // 4 + 1, generator=_generator(2))
    x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)
    return (x * 255).round() / 255


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
