"""A network that notices at which image its answer or its gradient is no number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.errors import DataError, NonFiniteError, UnsupportedError
from dsrna.nn.modes import submodules
from dsrna.nn.nonfinite import origin_of_nonfinite


class Watched(nn.Module):
    """A network as an attack sees it: the same logits and gradients, with an eye on both.

    To an attack a NaN is no obstacle: the sign of NaN is 0, so that an l_inf attack stands still and the network looks
    robust, and NaN logits look like a misclassification. So the first image at which a logit or a gradient isn't finite
    is kept, and :meth:`check` refuses it. Where that is the case the layer is looked for by running this image again,
    among the clean ones where BatchNorm normalises by the batch. There a fault spreads over the batch before it is
    seen, so that the image that is named need not be the one where it began.

    Cost: two reductions over images and logits a pass. On a GPU their results stay there until :meth:`check`; on a CPU
    they are looked at before the next pass.

    Args:
        model: network (N, C, H, W) -> logits (N, K), held still (:func:`dsrna.attacks.frozen`).
        x: (N, C, H, W) clean images; the network may be called on some of them alone.
        y: (N,) their classes.
        attack: what messages call the attack.
        dtype: of the images that the network takes. It may be called with others, which are rounded, and gives logits
            in their precision: steps of an attack may be smaller than the last digit of a half-precision pixel.
    """

    model: nn.Module
    dtype: torch.dtype

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, attack: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.training = False
        if isinstance(model, Watched):
            dtype = model.dtype
            model = model.model
        self.model, self.attack, self.dtype = model, attack, dtype
        self._x, self._y = x, y
        self._passes = 0
        self._seen = torch.zeros((), dtype=torch.bool, device=x.device)
        # Of the first pass that was seen to be bad, or else of the last one: the image, its row and the number of rows
        # in that pass, the pass's number, and the loss's slopes in the logits.
        self._record: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K).

        Raises:
            DataError: the network gives no logits (N, K) with K >= 2, or a class isn't below K.
            UnsupportedError: a gradient to the images is wanted, and there is none.
            NonFiniteError: on a CPU, see :meth:`check`.
        """
        if images.device.type == "cpu":
            self.check()
        self._passes += 1
        differentiated = images.requires_grad and torch.is_grad_enabled()
        # A view, as the gradient of the images themselves may be that of several passes.
        own = images.view_as(images) if differentiated else images
        logits: Tensor = self.model(own.to(self.dtype))
        if self._passes == 1:
            _check_answer(logits, images, self._y)
        logits = logits.to(images.dtype)
        slopes = [torch.zeros_like(logits)]
        self._note(logits, images, slopes[0])
        if differentiated:
            if not logits.requires_grad:
                raise UnsupportedError(
                    "The network's logits do not depend differentiably on the images, so a gradient attack can't "
                    "work; use a black-box attack such as `Square`."
                )
            logits.register_hook(lambda gradient: slopes.append(gradient))
            own.register_hook(lambda gradient: self._note(gradient, images, slopes[-1]))
        return logits

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Checks at the end, also where NaN made the attack fail in some other way."""
        try:
            yield
        except NonFiniteError:
            raise
        except Exception:
            self.check()
            raise
        self.check()

    def check(self) -> None:
        """Refuses a network that gave a number that isn't finite, at whatever attacked image.

        Raises:
            NonFiniteError: names the image and the layer.
        """
        if not bool(self._seen):
            return
        image, row, rows, number, slopes = self._record
        index = int(row) if int(rows) == len(self._x) else _nearest(self._x, image)
        mates = (image, slopes) if not _normalises_by_batch(self.model) else self._among_mates(index, image, slopes)
        origin = origin_of_nonfinite(self.model, mates[0].to(self.dtype), mates[1])
        if origin is not None:
            cause = f"It first did in {origin}"
        elif not bool(slopes.isfinite().all()):
            cause = "It first did in the attack's own loss, as the logits are too far apart for their precision"
        else:
            cause = "It didn't when that image was run again alone"
        raise NonFiniteError(
            f"{self.attack}: at image {index} of the batch of {len(self._x)} a logit or a gradient became NaN or "
            f"infinite, in pass {int(number)} of the attack through the network. {cause}. An attack can't find its way "
            "there, so that the network would look robust: mend that layer (roots, norms and logarithms of 0, "
            "divisions by 0), or train again at a lower learning rate.",
            image=index,
        )

    def _among_mates(self, index: int, image: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
        images, of_batch = self._x.detach().clone(), slopes.new_zeros(len(self._x), slopes.shape[1])
        images[index], of_batch[index] = image[0], slopes[0]
        return images, of_batch

    def _note(self, values: Tensor, images: Tensor, slopes: Tensor) -> None:
        if len(images) == 0:
            return
        bad = ~values.detach().flatten(1).abs().amax(dim=1).isfinite()
        row = bad.int().argmax(dim=0, keepdim=True)
        numbers = [torch.full_like(row, number) for number in (len(images), self._passes)]
        record = [images.detach().index_select(0, row), row, *numbers, slopes.detach().index_select(0, row)]
        if self._record:
            record = [torch.where(self._seen, old, new) for old, new in zip(self._record, record, strict=True)]
        self._record = record
        self._seen = self._seen | bad.any()


def _check_answer(logits: Tensor, images: Tensor, y: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise DataError(f"Expected logits ({len(images)}, K) of at least 2 classes from the network, got {got}.")
    low, high = torch.aminmax(y)
    if not bool((low >= 0) & (high < logits.shape[1])):
        raise DataError(
            f"Expected classes from 0 to {logits.shape[1] - 1}, as the network has {logits.shape[1]} logits, got "
            f"classes from {int(low)} to {int(high)}."
        )


def _normalises_by_batch(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) and module.training for module in submodules(model))


def _nearest(x: Tensor, image: Tensor) -> int:
    return int((x - image).flatten(1).norm(dim=1).argmin())
