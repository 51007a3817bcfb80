"""How the kernels are compiled; the build of a wheel, which has neither torch nor dsrna, reads this file too."""

from __future__ import annotations

from pathlib import Path

SOURCES = tuple(
    Path(__file__).with_name(name) for name in ("fused_edges.cpp", "backward.h", "forward.h", "layout.h", "lanes.h")
)
FLAGS = ("-std=c++20", "-O3")
SHARED = ("-shared", "-fPIC")
OPENMP = "-fopenmp"

PREBUILT = {
    "AVX512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
    "AVX2": ("-mavx2", "-mfma"),
}
"""What a processor has, by torch's names -> the flags that ask for just what it then looks for; the best first."""
FOLDER = "prebuilt"
"""Beside the sources, in a wheel that has them."""


def file_name(capability: str) -> str:
    """Of a library that is built for such processors."""
    return f"kernels-{capability.lower()}.so"


def prebuilt_commands(compiler: str, capability: str, made: Path) -> list[list[str]]:
    """Command lines that build a library for all machines of a kind, one after the other.

    It isn't linked with OpenMP: GCC's is in every process that has imported torch for Linux, under a file name that
    differs between versions of torch. So the library is of no version of torch or Python.
    """
    part = made.with_suffix(".o")
    return [
        [compiler, *FLAGS, *PREBUILT[capability], "-fPIC", OPENMP, "-c", str(SOURCES[0]), "-o", str(part)],
        [compiler, *SHARED, "-s", str(part), "-o", str(made)],
    ]
