"""Every layer of both search spaces, for tests that compare one way of computing gradients with another."""

import torch
from torch import Tensor, nn

from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.operations import OPERATIONS, supernet_operation
from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.spaces.skeletons.auxiliary_head import AuxiliaryHead
from dsrna.spaces.skeletons.staged import StagedSkeleton
from dsrna.spaces.skeletons.stems import CifarStem, ImagenetStem

CHANNELS = 4


class Mixed(nn.Module):
    """A mixed operation with partial channels and weights of its own; half of the channels bypass it."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.mixed = MixedOperation(["skip_connect", "max_pool_3x3", "avg_pool_3x3"], CHANNELS, stride, 2)
        self.weights = nn.Parameter(torch.tensor([0.2, 0.3, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(x, self.weights)


class Joined(nn.Module):
    """A stem, whose two outputs become one."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([features.flatten(1) for features in self.stem(x)], dim=1)


def layers(side: int) -> dict[str, nn.Module]:
    """Name -> a layer that maps (N, 4, side, side) to a tensor, in training mode where that makes sense."""
    found: dict[str, nn.Module] = {}
    for stride in (1, 2):
        for name in OPERATIONS:
            if name == "noise":  # another draw each time: it has tests of its own, under one draw
                continue
            found[f"{name}, stride {stride}"] = OPERATIONS[name](CHANNELS, CHANNELS, stride, True)
        for name in ("max_pool_3x3", "avg_pool_3x3"):
            found[f"{name}, stride {stride}, in a supernet"] = supernet_operation(name, CHANNELS, stride)
        found[f"mixed operation, stride {stride}"] = Mixed(stride)
    shape = (CHANNELS, side, side)
    found["residual reduction"] = ResidualReduction(CHANNELS, 6)
    found["CIFAR stem"] = Joined(CifarStem(CHANNELS, 4))
    found["ImageNet stem"] = Joined(ImagenetStem(CHANNELS, 4))
    found["auxiliary head"] = AuxiliaryHead(CHANNELS, (side, side), 3).eval()  # one value a channel and image
    found["normalisation"] = StagedSkeleton(shape, 3, 1, 4).build_normalize()
    found["head"] = StagedSkeleton(shape, 3, 1, 1).build_head({"cell": 1})
    return found
