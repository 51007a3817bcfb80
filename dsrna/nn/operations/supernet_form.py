"""Operations as they stand in supernets."""

from __future__ import annotations

from torch import nn

from dsrna.nn.operations.table import OPERATIONS


def supernet_operation(name: str, channels: int, stride: int) -> nn.Module:
    """An operation in the form it has in a supernet: BatchNorm without scale and shift, and one after a pooling.

    Scale and shift would let network weights undo operation weights; the BatchNorm after a pooling brings its output to
    the scale of its rivals'.

    Args:
        name: a key of :data:`OPERATIONS`.
        channels: channels in and out.
        stride: 1 or 2.
    """
    operation = OPERATIONS[name](channels, channels, stride, False)
    if isinstance(operation, nn.MaxPool2d | nn.AvgPool2d):
        return nn.Sequential(operation, nn.BatchNorm2d(channels, affine=False))
    return operation
