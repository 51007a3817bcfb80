"""Dashboards: what they are told, where they keep it, and that they are closed. Nothing here uses a network."""

import csv
from types import SimpleNamespace

import pytest
import torch
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dsrna.errors import ConfigError, MissingPartError
from dsrna.files import write_text
from dsrna.training.dashboards.base import About, Dashboard, Dashboards, OpenDashboard
from dsrna.training.dashboards.local import Csv, MLflow, TensorBoard
from dsrna.training.dashboards.wandb_dashboard import Wandb
from dsrna.training.dashboards.wandb_key import has_wandb_key
from tests.wandb_records import read_back


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("NETRC", "/nowhere/netrc")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)


class FakeRun:
    """As much of a W&B run as the dashboard and Lightning's logger ask for."""

    offline, url, name, id = True, None, "n", "i"

    def __init__(self):
        self.logged, self.summary, self.exit_code, self.kept, self.used = [], {}, None, [], []
        self.config = SimpleNamespace(update=lambda *_, **__: None)

    def log(self, numbers):
        self.logged.append(numbers)

    def define_metric(self, *_, **__):
        pass

    def log_artifact(self, artifact):
        self.kept.append(artifact)

    def use_artifact(self, artifact):
        self.used.append(artifact)

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def fake(monkeypatch):
    """Replaces wandb.init; ``calls`` has its arguments, ``refuse`` makes the service unreachable."""
    state = SimpleNamespace(run=FakeRun(), calls=[], refuse=False)

    def init(**arguments):
        state.calls.append(arguments)
        if state.refuse and arguments["mode"] == "online":
            raise wandb.errors.CommError("Run initialization has timed out\nand more")
        return state.run

    monkeypatch.setattr(wandb, "init", init)
    return state


def open_wandb(folder, in_sweep=False, **node):
    return Dashboards([Wandb(**node)], about(folder, in_sweep))


def about(folder, in_sweep=False):
    return About(folder, "name", {"seed": 0}, "abc", ["search", "report"], in_sweep)


def test_without_a_dashboard_there_is_nothing_to_do(tmp_path):
    dashboard = Dashboards()
    dashboard.log_pictures([tmp_path / "missing.png"])
    dashboard.log_table("t", [{"a": 1}])
    dashboard.log_file("report", tmp_path / "missing.html")
    dashboard.log_summary({"a": 1.0})
    dashboard.close(failed=False)
    assert dashboard.loggers == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failed", [False, True])
def test_wandb_is_told_the_numbers_and_is_closed(fake, tmp_path, failed):
    dashboard = open_wandb(tmp_path)
    (logger,) = dashboard.loggers
    logger.log_metrics({"search/val/loss": 1.5}, step=3)
    rows = [
        {"attack": "fgsm", "accuracy": 0.5, "steps": None, "interval": [0.4, 0.6]},
        {"attack": "pgd", "accuracy": 0, "steps": 20, "interval": [0.0, 0.1]},
    ]
    dashboard.log_table("attacks", rows)
    dashboard.log_table("empty", [])
    dashboard.log_summary({"retrain/test/acc": 0.75})
    dashboard.close(failed)
    first, table = fake.run.logged
    assert first == {"search/val/loss": 1.5, "trainer/global_step": 3}
    assert table["attacks"].data == [["fgsm", 0.5, None, "[0.4, 0.6]"], ["pgd", 0, 20, "[0.0, 0.1]"]]
    assert fake.run.summary == {"retrain/test/acc": 0.75}
    assert fake.run.exit_code == int(failed)
    assert dashboard.loggers == []


def test_wandb_gets_the_folder_and_the_config(fake, tmp_path):
    folder = tmp_path / "0"
    open_wandb(folder, project="p", entity="e")
    (arguments,) = fake.calls
    assert (arguments["dir"], arguments["config"], arguments["name"]) == (str(folder), {"seed": 0}, "name")
    assert (arguments["project"], arguments["entity"], arguments["group"]) == ("p", "e", None)
    assert (arguments["job_type"], arguments["tags"], arguments["notes"]) == ("search", None, None)
    open_wandb(folder, job_type="tuning", tags=["a", "b"], notes="why")
    assert [fake.calls[1][key] for key in ("job_type", "tags", "notes")] == ["tuning", ["a", "b"], "why"]


def test_the_run_of_a_sweep_agent_keeps_the_name_that_the_agent_gave(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    open_wandb(tmp_path, mode="online")
    assert (fake.calls[0]["id"], fake.calls[0]["resume"]) == (None, None)


def test_files_are_artifacts_named_after_their_content_and_their_sources_are_noted(fake, tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        write_text(tmp_path / name, text)
    dashboard = open_wandb(tmp_path)
    for name in "abc":
        dashboard.log_file("genotype", tmp_path / name)
    names = [artifact.name for artifact in fake.run.kept]
    assert names[0] == names[1] != names[2]
    assert {artifact.type for artifact in fake.run.kept} == {"genotype"}
    assert list(fake.run.kept[2].manifest.entries) == ["c"]
    dashboard.log_source("genotype", tmp_path / "a")
    assert fake.run.used == [], "W&B refuses that offline"
    fake.run.offline = False
    dashboard.log_source("genotype", tmp_path / "a")
    assert [artifact.name for artifact in fake.run.used] == names[:1]
    without = open_wandb(tmp_path, artifacts=False)
    without.log_file("genotype", tmp_path / "a")
    without.log_source("genotype", tmp_path / "a")
    assert (len(fake.run.kept), len(fake.run.used)) == (3, 1)


def test_the_jobs_of_a_multirun_are_a_group_of_different_runs_and_go_on_as_themselves(fake, tmp_path):
    for sweep in ("sweep_a", "sweep_b"):
        for job in ("0", "seed=1"):
            open_wandb(tmp_path / sweep / job, in_sweep=True)
    open_wandb(tmp_path / "sweep_a" / "seed=1", in_sweep=True)
    identities = [arguments["id"] for arguments in fake.calls]
    assert len(set(identities)) == 4
    assert identities[1] == identities[4]
    assert [arguments["group"] for arguments in fake.calls] == ["sweep_a", "sweep_a", "sweep_b", "sweep_b", "sweep_a"]


def test_a_run_has_an_identity_of_its_own(tmp_path):
    def identity(folder, fingerprint="f"):
        return About(tmp_path / folder, "n", {}, fingerprint).identity

    assert identity("a") == identity("a")
    assert identity("a") != identity("b")
    assert identity("a") != identity("a", "g")
    assert identity("a: b/#?%").isalnum()


@pytest.mark.parametrize(
    ("node", "environment", "key", "expected"),
    [
        ({}, None, False, "offline"),
        ({}, None, True, "online"),
        ({}, "offline", True, "offline"),
        ({"mode": "disabled"}, "offline", True, "disabled"),
        ({"mode": "online"}, None, False, "online"),
    ],
)
def test_the_mode_is_what_was_asked_for_else_what_there_is_a_key_for(
    fake, tmp_path, monkeypatch, node, environment, key, expected
):
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    open_wandb(tmp_path, **node)
    assert fake.calls[0]["mode"] == expected


def test_without_a_network_it_goes_offline(fake, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    fake.refuse = True
    open_wandb(tmp_path)
    assert [arguments["mode"] for arguments in fake.calls] == ["online", "offline"]
    assert "W&B can't be reached: Run initialization has timed out" in caplog.text


def test_without_a_network_but_asked_to_be_online_it_says_so(fake, tmp_path):
    fake.refuse = True
    with pytest.raises(ConfigError, match=r"can't be reached \(Run initialization has timed out\).*mode=offline"):
        open_wandb(tmp_path, mode="online")


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"online, offline, disabled, got 'onlin', here or .*conf: mode"):
        open_wandb(tmp_path, mode="onlin")


HOSTED = "https://api.wandb.ai"
OWN = "https://wandb.example.org:8443/"


@pytest.mark.parametrize(
    ("server", "written", "found"),
    [
        (HOSTED, "machine api.wandb.ai login user password x", True),
        (HOSTED, "machine example.org login user password x", False),
        (HOSTED, "machine wandb.example.org login user password x", False),
        (OWN, f"machine wandb.example.org login user password local-{'k' * 86}", True),
        (OWN, "machine api.wandb.ai login user password x", False),
        (OWN, "machine", False),
    ],
)
def test_a_key_for_its_server_in_a_netrc_file_is_found(monkeypatch, tmp_path, server, written, found):
    monkeypatch.setattr(wandb, "setup", lambda: SimpleNamespace(settings=SimpleNamespace(base_url=server)))
    assert not has_wandb_key()
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text(written + "\n")
    assert has_wandb_key() == found


def test_the_server_is_the_one_that_wandb_itself_talks_to(monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", OWN)
    wandb.teardown()
    assert wandb.setup().settings.base_url == OWN.rstrip("/")
    monkeypatch.undo()
    wandb.teardown()


@pytest.mark.parametrize("key", ["k" * 40, "k" * 86, f"local-{'k' * 40}"])
def test_a_key_in_the_environment_is_found_whatever_its_length(fake, tmp_path, monkeypatch, key):
    monkeypatch.setenv("WANDB_API_KEY", key)
    open_wandb(tmp_path)
    assert fake.calls[0]["mode"] == "online"


@pytest.mark.slow
def test_a_server_that_does_not_answer_leaves_a_true_offline_run(tmp_path, monkeypatch, caplog):
    for name, value in (("BASE_URL", "http://127.0.0.1:9"), ("API_KEY", "local-" + "k" * 40), ("INIT_TIMEOUT", "2")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb.teardown()
    dashboard = open_wandb(tmp_path)
    assert "W&B can't be reached" in caplog.text
    dashboard.loggers[0].log_metrics({"loss": 1.0}, 1)
    dashboard.close(failed=False)
    wandb.teardown()
    assert list((tmp_path / "wandb").glob(f"offline-run-*/run-{about(tmp_path).identity}.wandb"))


@pytest.mark.slow
def test_a_true_offline_run_read_back_is_what_was_told_and_goes_on_under_its_name(tmp_path):
    write_text(tmp_path / "genotype.json", "{}")
    for failed in (True, False):
        dashboard = open_wandb(tmp_path, mode="offline", tags=["a", "b"], notes="why")
        dashboard.loggers[0].log_metrics({"search/val/loss": 1.0}, 1)
        dashboard.log_table("operation_weights", [{"epoch": 0, "edge": "0-2", "none": 0.25}])
        dashboard.log_file("genotype", tmp_path / "genotype.json")
        dashboard.log_summary({"retrain/test/acc": 0.75})
        dashboard.close(failed)
    written = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {path.stem for path in written} == {f"run-{about(tmp_path).identity}"}
    assert wandb.run is None
    wandb.teardown()  # its process has written all when it is gone
    for path, failed in zip(written, (True, False), strict=True):
        found = read_back(path)
        assert (found["tags"], found["notes"], found["job_type"]) == (["a", "b"], "why", "search")
        assert [kind for kind, _ in found["artifacts"] if kind != "run_table"] == ["genotype"]
        curves = {key for key in found["history"] if not key.startswith(("_", "operation_weights"))}
        assert curves == {"search/val/loss", "trainer/global_step"}
        assert "operation_weights.nrows" in found["history"]
        assert "retrain/test/acc" in found["summary"]
        assert found["exit"] == failed


@pytest.mark.slow
def test_tensorboard_and_csv_hold_what_was_logged_in_every_stage(search_stage, retrain_stage, tmp_path):
    dashboard = Dashboards([TensorBoard(), Csv()], about(tmp_path))
    search_stage(tmp_path, epochs=2).run(loggers=dashboard.loggers)
    retrain = retrain_stage(tmp_path, epochs=2)
    retrain.run(loggers=dashboard.loggers)
    dashboard.log_summary({"retrain/test/acc": 0.75})
    dashboard.close(failed=False)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    records = retrain.folder.read_metrics()
    for key, stage in (("search/train/loss", "search"), ("retrain/val/acc_adv", "retrain")):
        written = [(record["step"], record[key]) for record in records if record["stage"] == stage]
        found = [(event.step, event.value) for event in events.Scalars(key)]
        assert [step for step, _ in found] == [step for step, _ in written] == [3, 6]
        assert [value for _, value in found] == pytest.approx([value for _, value in written])
    lines = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    losses = [float(line["search/train/loss"]) for line in lines if line["search/train/loss"]]
    assert losses == [record["search/train/loss"] for record in records if record["stage"] == "search"]
    assert events.Scalars("retrain/test/acc")[0].value == 0.75


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("dsrna.training.dashboards.local.find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"pip install 'dsrna\[tensorboard\]'"):
        Dashboards([TensorBoard()], about(tmp_path))


def test_pictures_are_shown_under_their_names(fake, tmp_path):
    from matplotlib.image import imsave

    imsave(tmp_path / "cell_normal.png", torch.rand(4, 4).numpy())
    dashboard = open_wandb(tmp_path)
    dashboard.log_pictures([tmp_path / "cell_normal.png"])
    (logged,) = fake.run.logged
    assert isinstance(logged["pictures/cell_normal"], wandb.Image)


class Noting(Dashboard, OpenDashboard):
    """Notes how it was closed; where ``opens`` is false, it can't be opened."""

    def __init__(self, opens=True):
        self.opens, self.closed = opens, []

    def open(self, about):
        if not self.opens:
            raise ConfigError("no")
        return self

    def close(self, failed):
        self.closed.append(failed)


def test_those_that_are_open_are_closed_where_another_cannot_be_opened(tmp_path):
    first = Noting()
    with pytest.raises(ConfigError, match="no"):
        Dashboards([first, Noting(opens=False)], about(tmp_path))
    assert first.closed == [True]


def test_mlflow_has_the_numbers_and_goes_on_with_its_run(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="an extra")
    for step in (1, 2):
        dashboard = Dashboards([MLflow()], about(tmp_path))
        dashboard.loggers[0].log_metrics({"search/val/loss": 0.5 * step}, step)
        dashboard.log_summary({"retrain/test/acc": 0.75})
        dashboard.close(failed=False)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("dsrna").experiment_id])
    assert (run.info.status, run.data.params) == ("FINISHED", {"seed": "0"})
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "search/val/loss")] == [
        (1, 0.5),
        (2, 1.0),
    ]
    assert run.data.metrics["retrain/test/acc"] == 0.75
