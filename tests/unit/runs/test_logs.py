import logging
import warnings

import pytest

from dsrna.errors import DataError
from dsrna.runs.logs import logging_to


def test_messages_go_to_both_and_warnings_to_the_file_alone(tmp_path, capsys):
    path = tmp_path / "runs" / "run.log"
    with logging_to(path):
        logging.getLogger("dsrna.data").info("read %s", "[bold]images[/]")
        logging.getLogger("pytorch_lightning").warning("chatter")
        warnings.warn("beware", stacklevel=1)
    text, shown = path.read_text(), capsys.readouterr().err
    assert "INFO dsrna.data read [bold]images[/]" in text
    assert "chatter" in text
    assert "beware" in text
    assert shown.count("\n") == 1
    assert shown.endswith("read [bold]images[/]\n")


def test_an_error_is_noted_in_the_file_and_left_to_the_caller_to_show(tmp_path, capsys):
    with pytest.raises(DataError), logging_to(tmp_path / "run.log"):
        raise DataError("Too few images: 100 % of none.")
    text = (tmp_path / "run.log").read_text()
    assert "ERROR dsrna Too few images: 100 % of none." in text
    assert "Traceback" not in text
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_is_noted_with_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), logging_to(tmp_path / "run.log"):
        1 / 0  # noqa: B018
    assert "Traceback" in (tmp_path / "run.log").read_text()


def test_afterwards_all_loggers_are_as_before(tmp_path):
    names = ("dsrna", "pytorch_lightning", "py.warnings")

    def state():
        loggers = [logging.getLogger(name) for name in names]
        return [(log.level, log.propagate, list(log.handlers)) for log in loggers], warnings.showwarning

    before = state()
    with logging_to(tmp_path / "run.log"):
        assert state() != before
    assert state() == before
