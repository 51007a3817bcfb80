"""The list of deliberate mistakes stays in step with the source; ``make mutate`` runs it."""

import pytest

from tests.mutations.mutate import Mutation, applied, check, faults, mutations

MISTAKE = Mutation("adds one", "room.py", "return 1", "return 2", "test_room.py::test_value")


def test_every_entry_can_be_applied():
    """All in one test: a test for each of them costs more than what it looks at."""
    assert {each.what: found for each in mutations() if (found := faults(each))} == {}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one function, whose tests need none of the plugins that take a second to import."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:hydra_pytest -p no:anyio")
    (tmp_path / "room.py").write_text("def value():\n    return 1\n")
    (tmp_path / "test_room.py").write_text(
        "import room\n\ndef test_value():\n    assert room.value() == 1\n\ndef test_nothing():\n    room.value()\n"
    )
    return tmp_path


def test_a_test_that_fails_has_noticed_the_mistake(repository):
    assert check(MISTAKE, repository, {}) == "noticed"
    assert (repository / "room.py").read_text() == "def value():\n    return 1\n"


def test_a_test_that_passes_has_not(repository):
    blind = Mutation(**{**vars(MISTAKE), "test": "test_room.py::test_nothing"})
    assert check(blind, repository, {}) == "NOT NOTICED"


def test_a_file_that_no_longer_compiles_is_no_answer(repository):
    broken = Mutation(**{**vars(MISTAKE), "after": "return ("})
    assert "did not run" in check(broken, repository, {})


def test_a_test_that_does_not_end_in_time_is_no_answer(repository):
    hanging = Mutation(**{**vars(MISTAKE), "after": "import time; time.sleep(60)"})
    assert check(hanging, repository, {MISTAKE.test: 0}, limit_s=1) == "no answer within 1 s"


def test_a_test_that_never_passes_is_no_answer(repository):
    with applied(MISTAKE, repository):
        assert "without the mistake" in check(
            Mutation(**{**vars(MISTAKE), "before": "return 2", "after": "return 3"}), repository, {}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"before": "return 7"}, "occurs 0 times"),
        ({"file": "absent.py"}, "occurs 0 times"),
        ({"after": "return 1"}, "changes nothing"),
        ({"test": "test_room.py::test_absent"}, "no test"),
        ({"test": "absent.py"}, "no test"),
    ],
)
def test_entries_that_no_longer_fit_are_told(repository, change, message):
    assert message in check(Mutation(**{**vars(MISTAKE), **change}), repository, {})
