import subprocess
from pathlib import Path

import pytest

from dsrna import provenance as module
from dsrna.provenance import git_state, library_versions


def test_versions_are_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy
    import torch

    import dsrna

    monkeypatch.setattr(module, "RECORDED_PACKAGES", ("torch", "numpy", "no-such-package-here"))
    versions = library_versions()
    assert versions == {
        "dsrna": dsrna.__version__,
        "torch": torch.__version__.split("+")[0],
        "numpy": numpy.__version__,
    }


def _run_git(where: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=where, check=True, capture_output=True, text=True).stdout.strip()


def test_git_state_of_the_packages_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    for folder in (checkout, elsewhere):
        folder.mkdir()
    source = checkout / "provenance.py"
    source.write_text("")
    monkeypatch.setattr(module, "__file__", str(source))
    monkeypatch.chdir(elsewhere)
    assert git_state() is None

    _run_git(checkout, "init")
    _run_git(checkout, "add", "provenance.py")
    _run_git(checkout, "commit", "-m", "one")
    revision = _run_git(checkout, "rev-parse", "HEAD")
    assert git_state() == {"revision": revision, "dirty": False}
    source.write_text("changed")
    assert git_state() == {"revision": revision, "dirty": True}


def test_an_installed_package_in_somebodys_checkout_does_not_speak_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "provenance.py"
    installed.parent.mkdir()
    installed.write_text("")
    (tmp_path / "user.py").write_text("")
    _run_git(tmp_path, "init")
    _run_git(tmp_path, "add", "user.py")
    _run_git(tmp_path, "commit", "-m", "one")
    outside = tmp_path.parent / f"{tmp_path.name}_outside"
    outside.mkdir()
    monkeypatch.setattr(module, "__file__", str(installed))
    monkeypatch.chdir(outside)
    assert git_state() is None


def test_no_git_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state() is None
