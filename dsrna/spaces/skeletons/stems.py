"""Stems: what turns an image into the two inputs of the first cell."""

from __future__ import annotations

from torch import Tensor, nn


class CifarStem(nn.Module):
    """One 3 x 3 convolution and BatchNorm; both inputs of the first cell are its output.

    Args:
        channels_in: channels of the image.
        channels_out: channels of the output.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (N, C, H, W) to twice (N, channels_out, H, W)."""
        features = self.layers(x)
        return features, features


class ImagenetStem(nn.Module):
    """Three convolutions of stride 2; the inputs of the first cell are at a quarter and an eighth of the image size.

    Args:
        channels_in: channels of the image.
        channels_out: channels of both outputs, at least 2.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.quarter = nn.Sequential(
            nn.Conv2d(channels_in, channels_out // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out // 2),
            nn.ReLU(),
            nn.Conv2d(channels_out // 2, channels_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.eighth = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (N, C, H, W) to (N, channels_out, H / 4, W / 4) and (N, channels_out, H / 8, W / 8), rounded up."""
        quarter = self.quarter(x)
        return quarter, self.eighth(quarter)
