"""What is installed on this machine, and what each part enables."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata, util

import torch

import dsrna
from dsrna.config.catalog import conf_folder
from dsrna.data.source import default_root
from dsrna.nn.edges.compiled.library import KernelsUnavailableError, availability
from dsrna.training.dashboards.wandb_key import has_wandb_key

PACKAGES = {
    "torch": "everything",
    "torchvision": "CIFAR, MNIST and ImageFolder data",
    "pytorch-lightning": "search and retrain loops",
    "hydra-core": "configs and multirun",
    "foolbox": "FGSM, PGD and C&W evaluation",
    "pyautoattack": "AutoAttack evaluation",
    "scikit-learn": "the embedded default data set (digits)",
    "matplotlib": "pictures and report",
    "wandb": "logger=wandb",
    "tensorboard": "logger=tensorboard",
    "mlflow-skinny": "logger=mlflow",
    "onnxruntime": "python -m dsrna export (with onnx and onnxscript)",
    "optuna": "python -m dsrna.tune",
    "auto-lirpa": "the bound engines auto_lirpa_*, to compare ours with",
}
INSTALL = {
    "tensorboard": "pip install 'dsrna[tensorboard]'",
    "mlflow-skinny": "pip install 'dsrna[mlflow]'",
    "onnxruntime": "pip install 'dsrna[export]'",
    "optuna": "pip install 'dsrna[tune]'",
    "auto-lirpa": "pip install --no-deps auto-lirpa==0.3 appdirs",
}
MODULES = {
    "pytorch-lightning": "pytorch_lightning",
    "hydra-core": "hydra",
    "scikit-learn": "sklearn",
    "auto-lirpa": "auto_LiRPA",
}


@dataclass(frozen=True)
class Check:
    """One line of ``dsrna doctor``; ``found`` is empty where the part is missing."""

    part: str
    found: str
    enables: str


def checks() -> list[Check]:
    """Versions, devices, data root, optional parts."""
    free = shutil.disk_usage(".").free / 2**30
    root = default_root()
    lines = [
        Check("dsrna", f"{dsrna.__version__}, configs in {conf_folder()}", ""),
        Check("python", f"{platform.python_version()}, {platform.platform()}", ""),
        Check("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads", "every experiment"),
        _gpu(),
        Check("data root", f"{root.resolve()}" if root.is_dir() else "", "real data (data.root=… or $DSRNA_DATA)"),
        _kernels(),
        Check("pooling gradients", pooling_gradients(torch.__version__), ""),
        Check("disk", f"{free:.0f} GiB free here", ""),
        Check("wandb key", "yes" if has_wandb_key() else "", "online dashboards; without it wandb runs offline"),
    ]
    return lines + [_package(name, enables) for name, enables in PACKAGES.items()]


def _gpu() -> Check:
    found = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    apples = not found and torch.backends.mps.is_available()
    return Check("gpu", found, "full-size runs" + ("; Apple's isn't used, it has no float64" if apples else ""))


def pooling_gradients(version: str) -> str:
    """What a version of torch does to the gradients of average pooling, and what dsrna does about it."""
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 14):
        return f"wrong on CUDA in torch {version} (2.11 to 2.13) for channels-last maps, which dsrna doesn't pool there"
    return f"wrong under torch.compile in torch {version} (2.14 on) for ceil_mode, which dsrna doesn't use"


def _kernels() -> Check:
    part, enables = "supernet kernels", "searches on a CPU several times as fast"
    try:
        return Check(part, availability(), enables)
    except KernelsUnavailableError as error:
        return Check(part, "", f"{enables}; {error}")


def _package(name: str, enables: str) -> Check:
    if util.find_spec(MODULES.get(name, name)) is None:
        return Check(name, "", f"{enables}; {INSTALL.get(name, f'pip install {name}')}")
    return Check(name, metadata.version(name), enables)
