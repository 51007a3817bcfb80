"""Numbers that others published, measured again: a provably robust MNIST network, and two LeNet-5 under attack.

Run: ``python experiments/known_certified/measure.py certified --data FOLDER --nets FOLDER`` and the same with
``attacked``. An interrupted run goes on when it is started again. Networks and what is published of them:

* ``kw_mnist.pth``, trained at l_inf 0.1 (Wong and Kolter, Provable Defenses against Adversarial Examples via the Convex
  Outer Adversarial Polytope, ICML 2018): test error 1.80 %, PGD error near 4.1 %, certified error near 5.8 %;
* ``mnist_lenet5_clntrained.pt``, ``mnist_lenet5_advtrained.pt``, of AdverTorch's examples: clean accuracy 98.89 and
  98.64 %, success of PGD-40 at l_inf 0.3 with steps of 0.01 from the image itself 100 and 6.8 %.
"""

from __future__ import annotations

import argparse
import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.data.torchvision_sets import load_mnist
from dsrna.evaluation import FoolboxPGD
from dsrna.evaluation.clean_logits import clean_logits
from dsrna.files import write_json
from dsrna.progress import Progress
from dsrna.provenance import library_versions
from dsrna.types import Threat
from dsrna.verification import Verification, verify

LENET5 = {"standard": "mnist_lenet5_clntrained.pt", "adversarial": "mnist_lenet5_advtrained.pt"}
Images = tuple[Tensor, Tensor]


def wong_kolter(file: Path) -> nn.Module:
    """The network of ``kw_mnist.pth``."""
    network = nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval()


def lenet5(file: Path) -> nn.Module:
    """The network of ``mnist_lenet5_*.pt``."""
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear1=nn.Linear(3136, 200),
            relu3=nn.ReLU(),
            linear2=nn.Linear(200, 10),
        )
    )
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval()


def test_images(data: Path, count: int) -> Images:
    """The first ``count`` images of MNIST's test split."""
    test = load_mnist(str(data), download=False).test
    return test.batch(torch.arange(min(count, len(test))))


def certified_errors(network: nn.Module, images: Images, engines: Sequence[str], work: Path) -> list[dict[str, Any]]:
    """Test error, PGD error and certified error at l_inf 0.1, for each engine by itself."""
    rows = []
    for engine in engines:
        settings = Verification(engines=[engine], eps=[0.1], radius=False, batch_size=50, seconds_per_image=None)
        with Progress(engine, len(images[0])) as bar:
            result = verify(
                network,
                images,
                settings,
                seed=0,
                folder=work / engine,
                progress=bar.reach,
            )
        (point,) = result["curve"]
        rows.append(
            {
                "engine": engine,
                "images": result["images"],
                "test_error": 1 - result["correct"] / result["images"],
                "pgd_error": 1 - point["standing"],
                "certified_error": 1 - point["certified"],
                "bound_seconds_per_image": result["bound_seconds"] / result["correct"],
            }
        )
    return rows


def attack_success(network: nn.Module, images: Images, batch_size: int = 500) -> dict[str, Any]:
    """Clean accuracy, and on which share of the images PGD-40 at l_inf 0.3 leaves a wrong answer."""
    attack = FoolboxPGD(steps=40, step_size=0.01, random_start=False)
    right, standing = 0, 0
    x, y = images
    with Progress("PGD-40", len(x)) as bar:
        for start in range(0, len(x), batch_size):
            place = slice(start, min(start + batch_size, len(x)))
            right += int((clean_logits(network, x[place], y[place], 10, place).argmax(dim=1) == y[place]).sum())
            standing += int(attack.run(network, x[place], y[place], Threat("linf", 0.3), seed=0).sum())
            bar.advance(place.stop - start, {"success": 1 - standing / place.stop})
    return {"images": len(x), "clean_accuracy": right / len(x), "attack_success": 1 - standing / len(x)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["certified", "attacked"])
    parser.add_argument("--data", type=Path, required=True, help="data root with MNIST")
    parser.add_argument("--nets", type=Path, required=True, help="folder with the three networks")
    parser.add_argument("--engines", nargs="+", default=["ibp", "crown_ibp", "crown"])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/known_certified"), help="for the per-image verdicts")
    parser.add_argument("--out", type=Path, help="also write the result to this JSON file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    images = test_images(given.data, given.images)
    if given.what == "certified":
        work = given.work / f"{given.images}_images"
        rows = certified_errors(wong_kolter(given.nets / "kw_mnist.pth"), images, given.engines, work)
    else:
        rows = [
            {"training": training, **attack_success(lenet5(given.nets / file), images)}
            for training, file in LENET5.items()
        ]
    for row in rows:
        print(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )
    if given.out is not None:
        write_json(given.out, {"results": rows, "seed": 0, "versions": library_versions()})


if __name__ == "__main__":
    main()
