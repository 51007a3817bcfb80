"""Puts compiled kernels into a wheel for x86-64: `make wheel`. A wheel without them builds them where it is used."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = Path("dsrna", "nn", "edges", "compiled")
TAG = "manylinux_2_34_x86_64"
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29)}
"""What a library may ask for under that tag (PEP 600): the C and C++ libraries of RHEL 9, Debian 12, Ubuntu 22.04."""


class KernelsHook(BuildHookInterface):
    """Compiles the kernels for each kind of processor, and says in the wheel's name what they are for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files."""
        if platform.system() != "Linux" or platform.machine() != "x86_64":
            raise RuntimeError("Kernels are built beforehand for Linux on x86-64 alone: build a wheel without them.")
        compiler = shutil.which(os.environ.get("CXX", "g++"))
        if compiler is None:
            raise RuntimeError("Building the kernels needs a C++ compiler: $CXX, or g++.")
        recipe = self._recipe()
        folder = Path(tempfile.mkdtemp(prefix="dsrna-kernels-"))
        self._made = folder
        for capability in recipe.PREBUILT:
            made = folder / recipe.file_name(capability)
            for command in recipe.prebuilt_commands(compiler, capability, made):
                subprocess.run(command, check=True)
            check_age(made)
            build_data["force_include"][str(made)] = str(COMPILED / recipe.FOLDER / made.name)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{TAG}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the wheel is written."""
        shutil.rmtree(self._made)

    def _recipe(self) -> Any:
        """The package's own recipe, without importing the package."""
        spec = importlib.util.spec_from_file_location("recipe", Path(self.root) / COMPILED / "recipe.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def check_age(library: Path) -> None:
    """Raises RuntimeError where a library asks for newer C or C++ libraries than the wheel's tag promises."""
    symbols = subprocess.run(["objdump", "-T", str(library)], capture_output=True, text=True, check=True).stdout
    for name, newest in NEWEST.items():
        asked = re.findall(rf"\({name}_([\d.]+)\)", symbols)
        needed = max((tuple(map(int, version.split("."))) for version in asked), default=())
        if needed > newest:
            raise RuntimeError(
                f"{library.name} needs {name} {'.'.join(map(str, needed))}, newer than {TAG} allows: build it with an "
                "older compiler or on an older system."
            )
