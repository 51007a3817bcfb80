"""Loads the compiled kernels: those that came with dsrna, or what is built once for this machine."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from dsrna.errors import DsrnaError
from dsrna.nn.edges.compiled import cache, recipe

_SOURCES = recipe.SOURCES
_FLAGS = (*recipe.FLAGS, "-march=native", *recipe.SHARED)
_PREBUILT = Path(__file__).with_name(recipe.FOLDER)
_BUILD_SECONDS = 600
_SILENT_SECONDS = 2
"""How long another process's build is waited for without a word."""

_NO_COMPILER = "no C++ compiler was found ($CXX, c++, g++, clang++)"

_log = logging.getLogger(__name__)


class KernelsUnavailableError(DsrnaError):
    """The compiled kernels can't be built or loaded here; the message says why."""


def library() -> ctypes.CDLL:
    """The kernels: prebuilt ones, where the wheel has them for this processor, or else built if they aren't yet.

    Where there are none, the first call on a machine compiles and keeps the result in
    :func:`~dsrna.nn.edges.compiled.cache.folder`, under a name that stands for the source, the compiler, the C library
    and the processor. The compiler is ``$CXX``, else c++, g++ or clang++. What is there but damaged, writable by
    others, or doesn't load, is built again.

    Raises:
        KernelsUnavailableError: no compiler, or it fails. The answer is remembered.
    """
    outcome = _built()
    if isinstance(outcome, str):
        raise KernelsUnavailableError(outcome)
    return outcome


def availability() -> str:
    """What :func:`library` will do here, without doing it: text for people.

    Raises:
        KernelsUnavailableError: there is no compiler, or it fails already here.
    """
    if (path := prebuilt()) is not None:
        return f"built beforehand for processors with {_capability()}: {path.name}"
    compiler = cpp_compiler()
    if compiler is None:
        raise KernelsUnavailableError(_NO_COMPILER)
    try:
        built = cache.is_trusted(_path(compiler))
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelsUnavailableError(f"{compiler} failed: {error}") from error
    return "built for this processor" if built else f"to be built by {compiler} at the first search"


@functools.cache
def _built() -> ctypes.CDLL | str:
    """The library, or why there is none."""
    failed = ""
    if (ready := prebuilt()) is not None:
        try:
            return ctypes.CDLL(str(ready))
        except OSError as error:  # a torch without GCC's OpenMP, say
            failed = f", and {ready.name}, which came with dsrna, doesn't load: {error}"
            _log.warning("%s, which came with dsrna, doesn't load, so the kernels are built: %s", ready.name, error)
    compiler = cpp_compiler()
    if compiler is None:
        return _NO_COMPILER + failed
    try:
        path = _path(compiler)
        with _locked(path):
            if cache.is_trusted(path):
                try:
                    return ctypes.CDLL(str(path))
                except OSError as error:  # made for a newer C library, say
                    _log.warning("the kernels that are here don't load, so they are built again: %s", error)
            _build(compiler, path)
            return ctypes.CDLL(str(path))
    except Timeout as error:
        return f"another process has been building them for {_BUILD_SECONDS} s, or died and left {error.lock_file}"
    except subprocess.CalledProcessError as error:
        return f"{compiler} failed: {(error.stderr or '').strip()[-500:] or error}"
    except (OSError, NotImplementedError, subprocess.TimeoutExpired) as error:
        return f"building the kernels with {compiler} failed: {error}"


def prebuilt() -> Path | None:
    """The library that came with dsrna for this processor; None where there is none, as in a checkout."""
    found = _capability()
    best = list(recipe.PREBUILT)
    fitting = best[best.index(found) :] if found in best else []
    paths = (_PREBUILT / recipe.file_name(capability) for capability in fitting)
    return next((path for path in paths if path.is_file()), None)


def _capability() -> str:
    """The vectors of this processor and its operating system by torch's name, such as ``AVX2``."""
    return torch.backends.cpu.get_cpu_capability()


def cpp_compiler() -> str | None:
    """The C++ compiler: ``$CXX``, else the first of c++, g++ and clang++ that is there."""
    named = os.environ.get("CXX")
    names = [named] if named else ["c++", "g++", "clang++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def _path(compiler: str) -> Path:
    return cache.folder() / f"kernels-{_fingerprint(compiler)}.so"


def _fingerprint(compiler: str) -> str:
    """Of everything that the library depends on: another processor behind the same home needs another one."""
    target = _run([compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull], timeout=60)
    parts = [
        *_FLAGS,
        recipe.OPENMP,
        *platform.libc_ver(),
        target,
        *(path.read_text(encoding="utf-8") for path in _SOURCES),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(compiler: str, path: Path) -> None:
    _log.info("building the supernet's kernels with %s, once; less than a minute", compiler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        command = [compiler, *_FLAGS, str(_SOURCES[0]), "-o", str(made)]
        try:
            # One OpenMP runtime in the process: torch's own, where it brings one.
            _run([*command, recipe.OPENMP, f"-L{Path(torch.__file__).parent / 'lib'}"], timeout=_BUILD_SECONDS)
        except subprocess.CalledProcessError:
            _run(command, timeout=_BUILD_SECONDS)  # a compiler without OpenMP: one thread
        cache.keep(path, made.read_bytes())
    _log.info("built in %.0f s: %s", time.monotonic() - began, path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Inside, no other process builds this library.

    Raises:
        Timeout: another one does so for longer than a build may take.
    """
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=_SILENT_SECONDS)
    except Timeout:
        _log.warning("waiting for another process that builds the supernet's kernels (%s)", lock.lock_file)
        lock.acquire(timeout=_BUILD_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _run(command: list[str], timeout: int) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout
