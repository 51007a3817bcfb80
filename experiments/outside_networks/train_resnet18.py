"""A torchvision ResNet-18 trained on CIFAR-10 without any of dsrna's code, for dsrna to evaluate.

Run: ``python experiments/outside_networks/train_resnet18.py DATA/cifar10.npz net.pt``. The network is torchvision's as
it is, with ten classes; it sees images normalised by the data set's usual statistics, mirrored, and batches shifted by
up to 4 pixels. ``net.pt`` is its state dict, with the prefix of DataParallel as many such files have it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.models import resnet18

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2471, 0.2435, 0.2616]).view(1, 3, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=20_000)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    with np.load(chosen.data) as arrays:
        x = torch.from_numpy(arrays["x_train"][: chosen.images]).permute(0, 3, 1, 2)
        y = torch.from_numpy(arrays["y_train"][: chosen.images]).long()
    model = resnet18(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
    steps = len(x) // 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, chosen.epochs * steps)
    began = time.process_time()
    for epoch in range(chosen.epochs):
        correct = 0
        for chosen_images in torch.randperm(len(x))[: 128 * steps].split(128):
            images, labels = augmented(x[chosen_images].float() / 255), y[chosen_images]
            logits = model((images - MEAN) / STD)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            correct += int((logits.argmax(1) == labels).sum())
        seconds = time.process_time() - began
        print(
            f"epoch {epoch + 1}: training accuracy {correct / (128 * steps):.4f}, {seconds:.0f} CPU seconds", flush=True
        )
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, chosen.out)


def augmented(images: torch.Tensor) -> torch.Tensor:
    """The whole batch moved alike, half of its images mirrored."""
    down, right = torch.randint(-4, 5, (2,)).tolist()
    moved = F.pad(images, [4, 4, 4, 4])[:, :, 4 + down : 36 + down, 4 + right : 36 + right]
    mirrored = torch.rand(len(images)) < 0.5
    moved[mirrored] = moved[mirrored].flip(3)
    return moved


if __name__ == "__main__":
    main()
