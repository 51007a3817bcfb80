"""Networks for small images that robust training is usually measured on: PreAct-ResNet-18 and wide residual ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.nn.chain import Link, links

_WIDE = re.compile(r"wrn_(\d+)_(\d+)")
_PLAIN = "preact_resnet18"


class PreActBlock(nn.Module):
    """x + conv(relu(bn(conv(relu(bn(x)))))); where the shape changes, x is a 1 x 1 convolution of relu(bn(x))."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels_out)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = None if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        past = x if self.shortcut is None else self.shortcut(active)
        moved: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return past + moved


class PreActNetwork(nn.Module):
    """Logits (N, K) of images (N, C, H, W): a 3 x 3 convolution, stages of blocks, BatchNorm, ReLU, mean, linear layer.

    Every stage but the first halves the map. Convolutions start as He et al. (2015), as in both papers.

    Args:
        channels_in, classes: of the images.
        stem: channels of the first convolution.
        widths: channels of each stage.
        blocks: number of blocks of a stage.

    References:
        He et al., Identity Mappings in Deep Residual Networks, ECCV 2016 (arXiv 1603.05027); Zagoruyko and Komodakis,
        Wide Residual Networks, BMVC 2016 (arXiv 1605.07146), here without dropout.
    """

    def __init__(self, channels_in: int, classes: int, stem: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels_in, stem, 3, padding=1, bias=False)
        before, stages = stem, []
        for stage, width in enumerate(widths):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            ends = [before] + [width] * (blocks - 1)
            stages += [PreActBlock(end, width, stride) for end, stride in zip(ends, strides, strict=True)]
            before = width
        self.blocks, self.norm = nn.Sequential(*stages), nn.BatchNorm2d(before)
        self.classifier = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) to logits (N, K)."""
        features = F.relu(self.norm(self.blocks(self.stem(x))))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits

    def links(self) -> list[Link]:
        """Its parts one after the other, see :func:`dsrna.nn.chain.links`; a block is one nonlinear layer."""
        last = nn.Sequential(self.norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.classifier)
        return [*links(self.stem), *links(self.blocks), *links(last)]


def residual_network(name: str, channels_in: int, classes: int, width: int = 64) -> PreActNetwork:
    """A network by its name.

    Args:
        name: ``preact_resnet18``, or ``wrn_DEPTH_WIDTH`` such as ``wrn_28_10``.
        channels_in, classes: of its images.
        width: channels of the first stage of ``preact_resnet18``; 16 is one of a sixteenth of the parameters.

    Raises:
        ConfigError: there is none of that name or width.
    """
    wide = _WIDE.fullmatch(name)
    if name == _PLAIN and 1 <= width <= 1024:
        return PreActNetwork(channels_in, classes, width, [width, 2 * width, 4 * width, 8 * width], blocks=2)
    if wide is not None and width == 64:
        depth, factor = int(wide[1]), int(wide[2])
        if depth >= 10 and depth % 6 == 4 and factor >= 1 and depth * factor <= 10_000:
            return PreActNetwork(channels_in, classes, 16, [16 * factor, 32 * factor, 64 * factor], (depth - 4) // 6)
    raise ConfigError(
        f"Expected cnn7, {_PLAIN} (with `width` from 1 to 1024) or wrn_DEPTH_WIDTH of depth 6 n + 4, such as "
        f"wrn_28_10 or wrn_16_4, got {name!r}{'' if width == 64 else f' with a `width` of {width}'}. (conf: model)"
    )
