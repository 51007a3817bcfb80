"""CPU seconds that commands take until they say something, each in a new process: the median of some rounds.

python experiments/bench/start.py --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TO_THE_END = ("-c import\ttorch", "-m dsrna show", "-m dsrna.search serach.epochs=3", "-m dsrna doctor")
TO_THE_FIRST_LINE = "-m dsrna.search trainer=debug"


def seconds_to_the_end(words: list[str]) -> float:
    """CPU seconds of ``python WORDS``."""
    before = os.times()
    subprocess.run([sys.executable, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def seconds_to_the_first_line(words: list[str]) -> float:
    """CPU seconds of ``python WORDS`` when its first line is there, as Linux tells them; then it is ended."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    process.stdout.readline()
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    process.kill()
    process.communicate()
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = range(parser.parse_args().rounds)
    for command in TO_THE_END:
        median = statistics.median(seconds_to_the_end(command.split(" ")) for _ in rounds)
        print(f"{median:5.2f} python {' '.join(command.split())}", flush=True)
    with tempfile.TemporaryDirectory() as out:
        words = [*TO_THE_FIRST_LINE.split(), f"out={out}"]
        median = statistics.median(seconds_to_the_first_line(words) for _ in rounds)
    print(f"{median:5.2f} to the first line of python {TO_THE_FIRST_LINE}")


if __name__ == "__main__":
    main()
