"""A lone job is composed once, and runs as one that Hydra composes."""

import os
from typing import ClassVar

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

from dsrna.errors import ConfigError
from dsrna.runs.command import Command


class Noting(Callback):
    """A user's callback of Hydra's."""

    heard: ClassVar[list[str]] = []

    def on_run_start(self, config, **_):
        self.heard.append(f"start of {config.hydra.run.dir}")

    def on_job_start(self, config, **_):
        self.heard.append("job")

    def on_run_end(self, config, **_):
        self.heard.append("end")


@pytest.fixture
def run(monkeypatch, command_line):
    """(job, *arguments) -> Outcome of a ranking that does ``job(request)`` instead of its work."""

    def started(job, *arguments):
        monkeypatch.setattr(Command, "run", lambda _, request: job(request))
        return command_line("rank", *arguments)

    return started


def test_it_is_composed_once(run, monkeypatch, tmp_path):
    composed, whole = [], ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(
        ConfigLoaderImpl, "load_configuration", lambda *args, **named: composed.append(1) or whole(*args, **named)
    )
    # What touches Hydra's own settings is never remembered from an earlier job.
    assert run(lambda _: None, f"hydra.run.dir={tmp_path / 'a'}", "seed=5").status == 0
    assert len(composed) == 1


def test_what_hydra_does_around_a_job_is_done(run, monkeypatch, tmp_path):
    monkeypatch.setattr(Noting, "heard", [])
    seen = []

    def job(request):
        seen.append((os.environ.get("OF_THE_JOB"), HydraConfig.get().runtime.output_dir, request.folder))
        (request.folder / "done").touch()

    folder = tmp_path / "run"
    target = f"+hydra.callbacks.mine._target_={__name__}.Noting"
    outcome = run(job, target, "+hydra.job.env_set.OF_THE_JOB=yes", f"hydra.run.dir={folder}")
    assert outcome.status == 0, outcome.text
    assert seen == [("yes", str(folder), folder)]
    assert Noting.heard == [f"start of {folder}", "job", "end"]
    assert "OF_THE_JOB" not in os.environ
    assert (folder / "done").exists()


def test_an_error_is_one_message_and_leaves_no_empty_folder(run, tmp_path):
    def job(_):
        raise ConfigError("Wrong.")

    outcome = run(job, f"out={tmp_path}")
    assert outcome.status == 2
    assert outcome.text.splitlines() == [
        "Settings checked. Now importing what the run takes, and opening its data.", "[error] Wrong."
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_mistake_of_ours_is_shown_whole(run, tmp_path):
    def job(_):
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        run(job, f"out={tmp_path}")
    assert not list(tmp_path.iterdir())
