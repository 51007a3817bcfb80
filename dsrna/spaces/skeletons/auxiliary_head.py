"""The auxiliary classifier that helps to train deep derived networks."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.nn.average_pool import AveragePool2d


class AuxiliaryHead(nn.Module):
    """ReLU, pooling to 2 x 2, 1 x 1 convolution to 128, 2 x 2 convolution to 768, linear.

    Maps of 8 x 8 (CIFAR) and 7 x 7 (ImageNet) are pooled as published, by 5 x 5 averages of stride 3 and 2; maps of any
    other size by an adaptive average to 2 x 2. Differs from the released ImageNet code: the BatchNorm after the 2 x 2
    convolution, left out there by mistake as its comment says, is here for both.

    Args:
        channels: channels of the features.
        map_size: their (H, W).
        classes: K.

    Source: DARTS (ICLR 2019), released code; the head itself from Szegedy et al. (CVPR 2015).
    """

    def __init__(self, channels: int, map_size: tuple[int, int], classes: int) -> None:
        super().__init__()
        pooling: nn.Module
        if map_size == (8, 8):
            pooling = AveragePool2d(5, stride=3)
        elif map_size == (7, 7):
            pooling = AveragePool2d(5, stride=2)
        else:
            pooling = nn.AdaptiveAvgPool2d(2)
        self.features = nn.Sequential(
            nn.ReLU(),
            pooling,
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps features (N, channels, H, W) to logits (N, K)."""
        return self.classifier(self.features(x).flatten(1))
