"""Which folder resume=auto goes on with: the newest unfinished one, by what run.json says."""

import json
import re
import time
from types import SimpleNamespace

import pytest

from dsrna.config.fingerprint import fingerprint_of, fingerprint_of_all
from dsrna.config.settings import RunSettings
from dsrna.files import write_json
from dsrna.run_folder import RunFolder
from dsrna.runs.choice import choose_folder


@pytest.fixture
def settings(tmp_path):
    return RunSettings(name="n", seed=3, resume="auto", out=str(tmp_path))


def begun(settings, tmp_path, name, created, state="interrupted"):
    """A run of these settings in a folder of that name."""
    folder = RunFolder.create(
        tmp_path / f"{name}_{fingerprint_of(settings)[:8]}", kind="search", fingerprint=fingerprint_of(settings),
        config_text="", overrides=[], stages=["search"], device="cpu", command="",
    )  # fmt: skip
    folder.set_stage("search", state)
    write_json(folder.run_json, folder.read_run() | {"created": created})
    return folder.path


def test_a_new_folder_is_named_by_the_time_in_utc_wherever_one_is(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        before = time.strftime("%Y-%m-%d_%H-%M-%SZ", time.gmtime())
        folder = choose_folder([settings], [[]], multirun=False)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert before <= folder.name < before[:-1] + "~"
    assert re.fullmatch(rf"[-\d_]+Z_n_{fingerprint_of(settings)[:8]}", folder.name)
    assert folder.parent == tmp_path


def test_the_newest_is_found_by_what_it_says_not_by_its_name(settings, tmp_path):
    """Names of earlier releases are in local time; a clock may have been wrong, a folder renamed."""
    newest = begun(settings, tmp_path, "2026-01-01_00-00-00_n", "2026-03-01T00:00:00+00:00")
    begun(settings, tmp_path, "2026-12-31_23-59-59_n", "2026-02-01T00:00:00+00:00")
    assert choose_folder([settings], [[]], multirun=False) == newest


def test_an_unfinished_run_comes_before_a_newer_finished_one(settings, tmp_path):
    finished = begun(settings, tmp_path, "b", "2026-02-01T00:00:00+00:00", "done")
    assert choose_folder([settings], [[]], multirun=False) == finished
    unfinished = begun(settings, tmp_path, "a", "2026-01-01T00:00:00+00:00")
    assert choose_folder([settings], [[]], multirun=False) == unfinished


def test_other_settings_damaged_folders_and_resume_never_begin_anew(settings, tmp_path):
    path = begun(settings, tmp_path, "a", "2026-01-01T00:00:00+00:00")
    settings.resume = "never"
    assert choose_folder([settings], [[]], multirun=False) != path
    settings.resume, settings.seed = "auto", 4
    assert choose_folder([settings], [[]], multirun=False) != path
    settings.seed = 3
    (path / "run.json").write_text("{")
    assert choose_folder([settings], [[]], multirun=False) != path


def test_the_newest_unfinished_multirun(settings, tmp_path):
    every, jobs = [settings, SimpleNamespace(**vars(settings))], [["seed=3"], ["seed=3"]]
    every[1] = RunSettings(**vars(settings) | {"seed": 4})
    first = choose_folder(every, jobs, multirun=True)
    assert json.loads((first / "sweep.json").read_text())["jobs"] == jobs
    never = [RunSettings(**vars(one) | {"resume": "never"}) for one in every]
    second = choose_folder(never, jobs, multirun=True)
    assert choose_folder(every, jobs, multirun=True) == second
    for job in "01":
        begun(settings, second, job, "2026-01-01T00:00:00+00:00", "done")
    assert choose_folder(every, jobs, multirun=True) == first
    assert fingerprint_of_all(every) != fingerprint_of_all(every[:1])
