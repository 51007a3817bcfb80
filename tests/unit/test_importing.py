"""What is imported is kept from the collector, which is as it was afterwards."""

import gc
from types import SimpleNamespace

import pytest

from dsrna import commands, entry_module
from dsrna.importing import importing
from dsrna.runs import launch


@pytest.fixture
def _collecting():
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.usefixtures("_collecting")
@pytest.mark.parametrize("collecting", [True, False])
def test_nothing_is_collected_meanwhile_and_what_was_made_never_looked_at(collecting):
    (gc.enable if collecting else gc.disable)()
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled() == collecting
    assert gc.get_freeze_count() >= before + 1000
    assert all(each is not known for each in made[:3] for known in gc.get_objects())


@pytest.mark.usefixtures("_collecting")
def test_an_error_leaves_the_collector_on():
    with pytest.raises(ValueError, match="broken"), importing():
        raise ValueError("broken")
    assert gc.isenabled()


@pytest.mark.slow
def test_a_command_imports_so_and_its_first_job_is_read_so_and_no_other(monkeypatch):
    collecting = []
    monkeypatch.setattr(commands, "main_of", lambda name: collecting.append(gc.isenabled()))
    frozen = gc.get_freeze_count()
    entry_module.begin("__main__", "search")
    assert collecting == [True]
    assert gc.get_freeze_count() > frozen

    class Noting:
        name = "search"
        settings = staticmethod(lambda config: collecting.append(gc.isenabled()))

    launch._checked(Noting(), [["seed=0"], ["seed=1"]])
    assert collecting == [True, False, True]
    job = SimpleNamespace(request=SimpleNamespace(folder=None))
    monkeypatch.setattr(launch, "one_job", lambda *_: collecting.append(gc.isenabled()) or job)
    launch._lone_job(Noting(), [], print)
    assert collecting == [True, False, True, False]
