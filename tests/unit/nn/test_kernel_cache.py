"""What of the kernels' cache is loaded, and what is built again; with a library that takes no time to build."""

import os
import stat
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from dsrna import files
from dsrna.nn.edges.compiled import cache
from dsrna.nn.edges.compiled import library as kernels
from dsrna.user_cache import temporary_cache

pytestmark = pytest.mark.skipif(kernels.cpp_compiler() is None, reason="no C++ compiler")

WHOLE = 'extern "C" int forward_float() { return 7; }'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    source = tmp_path / "fused_edges.cpp"
    source.write_text(WHOLE)
    monkeypatch.setattr(kernels, "_SOURCES", (source,))
    monkeypatch.setattr(kernels, "_FLAGS", ("-shared", "-fPIC"))
    monkeypatch.setattr(kernels, "_PREBUILT", tmp_path / "prebuilt")
    monkeypatch.setattr(kernels, "_built", kernels._built.__wrapped__)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache.temporary_cache.__globals__["tempfile"], "tempdir", str(tmp_path))
    return tmp_path / "cache" / "dsrna" / "kernels"


def built(folder):
    """The library in the cache, its inode: another one where it was built again."""
    loaded = kernels.library()
    assert loaded.forward_float() == 7
    path = next(folder.glob("*.so"))
    assert cache.is_trusted(path)
    return path, path.stat().st_ino


def test_it_is_built_once_into_a_private_folder_and_reaches_the_disk_before_it_has_its_name(folder, monkeypatch):
    order = []
    for module, name in ((files.os, "fsync"), (Path, "replace")):
        true = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, n=name, t=true: (order.append(n), t(*args))[1])
    first = built(folder)
    assert order == ["fsync", "replace"] * 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert built(folder) == first
    assert kernels.availability() == "built for this processor"


def cut(path):
    os.truncate(path, 100)


def changed(path):
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


def open_to_all(path):
    path.chmod(0o666)


def linked(path):
    there = path.with_name("elsewhere")
    path.rename(there)
    path.symlink_to(there)


def without_digest(path):
    path.with_suffix(".sha256").unlink()


@pytest.mark.parametrize("spoil", [cut, changed, open_to_all, linked, without_digest])
def test_what_is_damaged_or_may_be_foreign_is_built_again_and_never_loaded(spoil, folder, monkeypatch):
    path, _ = built(folder)
    payload = path.read_bytes()
    path.rename(path.with_name("loaded"))  # as it is in use
    path.write_bytes(payload)
    path.chmod(0o600)
    assert cache.is_trusted(path)
    spoil(path)
    assert kernels.availability().startswith("to be built by")
    loaded = []
    monkeypatch.setattr(kernels.ctypes, "CDLL", lambda name: loaded.append(cache.is_trusted(Path(name))))
    kernels.library()
    assert loaded == [True]


def test_another_users_file_is_not_trusted(folder, monkeypatch):
    path, _ = built(folder)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    assert not cache.is_trusted(path)


def test_what_asks_for_more_than_is_here_is_built_again(folder, tmp_path):
    source, made = tmp_path / "newer.cpp", tmp_path / "newer.so"
    source.write_text("int newer(); int use = newer();")
    compiler = kernels.cpp_compiler()
    kernels._run([compiler, "-shared", "-fPIC", str(source), "-o", str(made)], 60)
    path = kernels._path(compiler)
    cache.keep(path, made.read_bytes())
    assert cache.is_trusted(path)
    assert built(folder)[0] == path


def test_another_processs_build_is_waited_for_with_a_message_and_a_limit(folder, monkeypatch, caplog):
    path, _ = built(folder)
    monkeypatch.setattr(kernels, "_SILENT_SECONDS", 0.01)
    monkeypatch.setattr(kernels, "_BUILD_SECONDS", 0.1)
    with FileLock(path.with_suffix(".lock")), pytest.raises(kernels.KernelsUnavailableError, match="another process"):
        kernels.library()
    assert "waiting for another process" in caplog.text
    built(folder)


def test_a_user_without_a_home_has_a_private_folder_that_is_found_again(folder, monkeypatch, tmp_path):
    def nobody(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    place = tmp_path / f"dsrna-{os.getuid()}"
    assert cache.folder() == place
    first = built(place)
    assert built(place) == first
    place.chmod(0o777)  # anybody could have put a library there
    other = temporary_cache()
    assert other != place
    assert stat.S_IMODE(other.stat().st_mode) == 0o700
    assert cache.folder() == other


def test_where_users_have_no_numbers_as_on_windows_the_folder_is_taken_as_it_is(folder, monkeypatch):
    monkeypatch.delattr(os, "getuid")
    assert built(folder)[0].parent == folder
    assert temporary_cache().name == "dsrna"


@pytest.mark.parametrize(
    ("processor", "there", "chosen"),
    [
        ("AVX512", ("avx512", "avx2"), "avx512"),
        ("AVX512", ("avx2",), "avx2"),
        ("AVX2", ("avx512", "avx2"), "avx2"),
        ("AVX2", ("avx512",), None),
        ("DEFAULT", ("avx512", "avx2"), None),
        ("SVE256", ("avx512", "avx2"), None),
        ("AVX512", (), None),
    ],
)
def test_of_the_libraries_in_a_wheel_the_best_that_the_processor_can_run_is_chosen(
    processor, there, chosen, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(kernels.torch.backends.cpu, "get_cpu_capability", lambda: processor)
    (tmp_path / "prebuilt").mkdir()
    for name in there:
        (tmp_path / "prebuilt" / f"kernels-{name}.so").touch()
    assert kernels.prebuilt() == (chosen and tmp_path / "prebuilt" / f"kernels-{chosen}.so")


@pytest.fixture
def wheel(folder, tmp_path, monkeypatch):
    """The prebuilt library of a wheel, whose source uses OpenMP, as the recipe builds it; then there's no compiler."""
    source, made = tmp_path / "wheel.cpp", tmp_path / "prebuilt" / "kernels-avx2.so"
    source.write_text('#include <omp.h>\nextern "C" int forward_float() { return 8 + omp_get_thread_num(); }')
    made.parent.mkdir()
    monkeypatch.setattr(kernels.recipe, "SOURCES", (source,))
    monkeypatch.setitem(kernels.recipe.PREBUILT, "AVX2", ())
    for command in kernels.recipe.prebuilt_commands(kernels.cpp_compiler(), "AVX2", made):
        kernels._run(command, 60)
    monkeypatch.setattr(kernels.torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setenv("CXX", "no-such-compiler")
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="wheels have kernels for Linux alone")
def test_a_wheels_library_needs_no_compiler_and_finds_openmp_in_torch(wheel, folder):
    assert "kernels-avx2.so" in kernels.availability()
    assert kernels.library().forward_float() == 8
    assert not folder.exists(), "something was built"


@pytest.mark.skipif(sys.platform != "linux", reason="wheels have kernels for Linux alone")
def test_where_a_wheels_library_does_not_load_the_kernels_are_built(wheel, monkeypatch, caplog):
    wheel.write_bytes(b"of another system")
    with pytest.raises(kernels.KernelsUnavailableError, match=r"no C\+\+ compiler.*kernels-avx2.so.*doesn't load"):
        kernels.library()
    monkeypatch.delenv("CXX")
    assert kernels.library().forward_float() == 7
    assert "doesn't load, so the kernels are built" in caplog.text
