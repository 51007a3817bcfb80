"""What a stage writes to metrics.jsonl, to the log and to the terminal."""

import io
import logging
import re

import pytest
import torch
from rich.console import Console

from dsrna import progress
from dsrna.errors import ConfigError
from dsrna.progress import Progress
from dsrna.run_folder import RunFolder
from dsrna.runs.logs import logging_to
from dsrna.training.fit import device_name, device_of
from dsrna.training.folder_logger import FolderLogger
from dsrna.training.progress_callback import ProgressCallback


def test_the_folder_logger_writes_one_object_a_line(tmp_path):
    logger = FolderLogger(RunFolder(tmp_path), "search")
    logger.log_metrics({"epoch": 2.0, "search/val/loss": 1.5}, step=9)
    logger.log_metrics({"search/lr": 0.1}, step=10)
    logger.log_hyperparams({"lr": 0.1})
    assert RunFolder(tmp_path).read_metrics() == [
        {"stage": "search", "kind": "epoch", "step": 9, "epoch": 2, "search/val/loss": 1.5},
        {"stage": "search", "kind": "step", "step": 10, "search/lr": 0.1},
    ]


@pytest.mark.slow
def test_a_stage_records_every_epoch_with_means_learning_rate_and_time(search_stage, tmp_path, caplog):
    stage = search_stage(tmp_path, schedule="epoch")
    losses = []
    step = stage.module.weight_step
    stage.module.weight_step = lambda loss, *rest: (losses.append(loss.item()), step(loss, *rest))
    with caplog.at_level(logging.INFO, "dsrna"):
        stage.run()
    records = stage.folder.read_metrics()
    assert [(record["stage"], record["epoch"], record["step"]) for record in records] == [
        ("search", 0, 3),
        ("search", 1, 6),
        ("search", 2, 9),
    ]
    means = [sum(losses[i : i + 3]) / 3 for i in (0, 3, 6)]
    assert [record["search/train/loss"] for record in records] == pytest.approx(means)
    assert ["search/val/score" in record for record in records] == [False, True, True], "none in the warm-up"
    assert all(0 < record["search/seconds"] < 60 for record in records)
    lines = [record.getMessage() for record in caplog.records if "epoch 2 of 3" in record.getMessage()]
    assert len(lines) == 1
    assert f"train/loss {means[1]:.4g}" in lines[0]


class Recorder:
    """Stands in for the bar."""

    def __init__(self, title, total, *, done=0, mode="auto"):
        self.title, self.total, self.done, self.shown, self.closed = title, total, done, [], False
        Recorder.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def advance(self, steps, numbers):
        self.done += steps
        self.shown.append(numbers)


@pytest.mark.slow
def test_the_bar_counts_all_batches_and_goes_on_where_the_run_does(search_stage, tmp_path, monkeypatch):
    monkeypatch.setattr("dsrna.training.progress_callback.Progress", Recorder)
    stage = search_stage(tmp_path)
    step = stage.module.training_step

    def training_step(batch, batch_idx):
        if stage.module.global_step == 4:
            raise RuntimeError
        step(batch, batch_idx)

    stage.module.training_step = training_step
    with pytest.raises(RuntimeError):
        stage.run(minutes=1e-9)
    first = Recorder.last
    assert (first.title, first.total, first.done, first.closed) == ("search", 9, 4, True)
    assert first.shown[3]["epoch"] == "2"
    assert first.shown[0]["train loss"] > 0
    search_stage(tmp_path).run()
    assert Recorder.last.done == 9
    assert len(Recorder.last.shown) == 5
    assert Recorder.last.closed


def test_the_callback_can_be_stopped_before_it_started():
    ProgressCallback("search", "off").on_exception(None, None, RuntimeError())


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal of 60 columns is sent."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60)
    monkeypatch.setattr(progress, "terminal", lambda: console)
    monkeypatch.setattr("dsrna.runs.logs.terminal", lambda: console)
    return file


def test_a_message_goes_above_the_bar_and_not_into_it(terminal, tmp_path):
    with logging_to(tmp_path / "run.log"), Progress("search", 10, mode="on") as bar:
        bar.advance(3, {"loss": 1.5})
        logging.getLogger("dsrna").info("epoch %d is over", 1)
        bar.advance(1, {"loss": 1.25})
    seen = terminal.getvalue()
    before, after = seen.split("epoch 1 is over")
    # What was last written before the message erases the bar's line; the bar is drawn again below.
    assert before.rstrip("0123456789: ").endswith("\x1b[2K")
    assert after.startswith("\n")
    assert "search" in after


def test_a_long_message_is_one_line_that_can_be_copied(terminal, tmp_path):
    command = "python -m dsrna.search " + " ".join(f"key{i}=value" for i in range(20))
    with logging_to(tmp_path / "run.log"):
        logging.getLogger("dsrna").warning("To go on:\n  %s", command)
    assert command in re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert command in (tmp_path / "run.log").read_text()


@pytest.mark.slow
def test_what_lightning_has_to_say_goes_to_the_log_alone(terminal, search_stage, tmp_path, capfd):
    with logging_to(tmp_path / "run.log"):
        search_stage(tmp_path).run()
    shown = terminal.getvalue() + "".join(capfd.readouterr())
    assert "search epoch 3 of 3" in shown
    for chatter in ("GPU available", "Tip", "litlogger", "Trainer.fit", "weights_only", "deprecated"):
        assert chatter not in shown
    assert "`Trainer.fit` stopped" in (tmp_path / "run.log").read_text()


def test_on_apple_silicon_lightning_is_given_the_device_that_everything_else_uses(monkeypatch, search_stage, tmp_path):
    """Its GPU has no float64; left to itself, Lightning takes it."""
    asked = []

    class Trainer:
        def __init__(self, **options):
            asked.append(options["accelerator"])

        def fit(self, *args, **options):
            pass

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("dsrna.training.fit.pl.Trainer", Trainer)
    search_stage(tmp_path).run(accelerator="auto")
    assert asked == [device_of("auto").type] == ["cpu"]


def test_devices(monkeypatch):
    assert device_of("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"Expected a GPU, found none.*\(conf: trainer.accelerator\)"):
        device_of("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of("auto") == device_of("gpu") == torch.device("cuda", 0)
    with pytest.raises(ConfigError, match="Expected auto, cpu or gpu, got 'tpu'"):
        device_of("tpu")
    assert device_name(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"
