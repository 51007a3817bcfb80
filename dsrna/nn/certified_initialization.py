"""Initialisations from which certified training works."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def copying_initialization(model: nn.Module, noise: float) -> None:
    """Gives every convolution that doesn't widen its input new weights: each channel copies one channel, plus noise.

    An interval through a layer of n random weights of either sign grows by a factor of about sqrt(n) against the
    spread of the values in it, and BatchNorm, which brings back the spread, cancels every choice of their scale. So
    the usual start has bounds that are wider by orders of magnitude than the logits differ, too wide to train from. A
    channel that copies one input value doesn't widen it at all.

    The copied channels are drawn at random, each as often as the others. Convolutions with more channels out than in
    (stems), linear layers and BatchNorm keep their weights. Draws from torch's global generator.

    Args:
        model: any module; its weights are changed in place.
        noise: standard deviation of what is added to each channel's weights, over the square root of their number.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.out_channels <= layer.in_channels:
            channels, inputs, height, width = layer.weight.shape
            rounds = -(-channels // inputs)
            chosen = torch.cat([torch.randperm(inputs, device=layer.weight.device) for _ in range(rounds)])[:channels]
            layer.weight.normal_(std=noise / (inputs * height * width) ** 0.5)
            layer.weight[torch.arange(channels), chosen, height // 2, width // 2] += 1
            if layer.bias is not None:
                layer.bias.zero_()


@torch.no_grad()
def ibp_initialization(model: nn.Module) -> None:
    """Gives convolutions and linear layers normal weights of standard deviation sqrt(2 pi) / n, n inputs a value.

    The expected sum of n such weights' sizes is 2, and a ReLU halves an interval around 0: on the way through layers
    without BatchNorm, intervals keep their width. BatchNorm, which brings every layer's values to one spread, cancels
    any choice of scale; for deep networks with it, :func:`copying_initialization` is what works.

    Biases and BatchNorm stay. Draws from torch's global generator.

    Args:
        model: any module; its weights are changed in place.

    References:
        Shi et al., Fast Certified Robust Training with Short Warmup (NeurIPS 2021).
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.normal_(std=math.sqrt(2 * math.pi) / layer.weight[0].numel())
