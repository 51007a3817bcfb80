"""How commands end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dsrna.errors import ConfigError
from dsrna.runs.exit_status import run_command


def status_of(command):
    try:
        run_command(command)
    except SystemExit as end:
        return end.code
    return 0


def fail():
    raise ConfigError("[b] is wrong")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (lambda: None, 0),
        (lambda: 3, 3),
        (fail, 2),
        (lambda: os.kill(os.getpid(), signal.SIGINT), 130),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 143),
        (lambda: os.kill(os.getpid(), signal.SIGHUP), 129),
        (lambda: sys.exit(5), 5),
    ],
)
def test_the_exit_status(command, status, capsys):
    assert status_of(command) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == ("[error] [b] is wrong\n" if command is fail else "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        ("dsrna list metric", ""),
        ("dsrna --help", "1"),
        pytest.param("dsrna show", "", marks=(pytest.mark.slow, pytest.mark.thorough)),
        pytest.param("dsrna.search --help", "1", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_printed_is_an_error_of_one_line(arguments, unbuffered):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *arguments.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "[error] Can't write to standard output: No space left on device.\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_lost_terminal_ends_nothing():
    """Standard error is gone, as after a hangup: messages are lost, the command does its work."""
    program = (
        "import logging, sys\nfrom dsrna.runs.exit_status import run_command\nfrom dsrna.console import echo\n"
        "from dsrna.progress import Progress\n"
        "def work():\n    echo('lost')\n    with Progress('x', 2, mode='on') as bar:\n        bar.advance(2, {})\n"
        "    echo('lost')\n    print('done')\nrun_command(work)\n"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (0, "done\n")
