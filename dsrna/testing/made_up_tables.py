"""Tables of made-up numbers in the original layouts, for tests where the published ones aren't at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def share(index: int, salt: int) -> float:
    """A number in [0, 1) that looks random and is the same everywhere; of another order for every ``salt``."""
    return round((37 * index + 101 * salt) % 9973 / 9973, 6)


def write_adversarial(root: Path, classes: Sequence[int]) -> None:
    """NAS-RobBench-201 of CIFAR-10 for these architectures: clean by salt 1, PGD 8/255 by 2, AutoAttack by 3."""
    networks = {
        str(i): {"val_acc": {"1": share(i, 1)}, "val_pgd_8.0_acc": {"1": share(i, 2)}, "autoattack": share(i, 3)}
        for i in classes
    }
    root.mkdir(exist_ok=True)
    (root / "NAS-RobBench-201_all.json").write_text(json.dumps({"cifar10": networks}))


def write_standard(root: Path, classes: Sequence[int]) -> None:
    """The robustness dataset of CIFAR-10, likewise: clean by 10, PGD 1/255 and 8/255 by 20 and 21, snow by 30 to 34."""
    folder = root / "robustness-data" / "cifar10"
    folder.mkdir(parents=True)
    (folder.parent / "meta.json").write_text(json.dumps({"ids": {}, "epsilons": {"pgd@Linf": [1.0, 8.0]}}))
    for salt, key, levels in ((10, "clean", 0), (20, "pgd@Linf", 2), (30, "snow", 5)):
        entries = {str(i): [share(i, salt + k) for k in range(levels)] if levels else share(i, salt) for i in classes}
        (folder / f"{key}_accuracy.json").write_text(json.dumps({"cifar10": {key: {"accuracy": entries}}}))
