"""Checkpoint files are whole or absent, and written when they should be."""

import errno
import hashlib
import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest
import torch

from dsrna.errors import CheckpointError, ConfigError, NonFiniteError
from dsrna.interruption import StopSignals
from dsrna.metrics.base import RobustnessMetric
from dsrna.training.checkpoints import load_checkpoint, save_checkpoint
from dsrna.training.digest import digest_of
from dsrna.training.save_last import SaveLast


def test_what_is_saved_is_read_back(tmp_path):
    content = {"weights": torch.randn(3, dtype=torch.float64), "names": ["a", None], "nested": {1: (True, 2.5)}}
    save_checkpoint(tmp_path / "new" / "x.ckpt", content)
    found = load_checkpoint(tmp_path / "new" / "x.ckpt")
    assert torch.equal(found.pop("weights"), content.pop("weights"))
    assert found == content
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["x.ckpt"]


CONTENT = {"weights": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3), "lr": 0.1, "name": "a", "of": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        {"weights": torch.tensor([[0, 1, 2], [3, 4, 7e25]])},
        {"weights": torch.arange(6.0).reshape(3, 2)},
        {"weights": torch.arange(6.0, dtype=torch.float64).reshape(2, 3)},
        {"weights": torch.tensor([[-0.0, 1, 2], [3, 4, 5]])},
        {"steps": torch.tensor(4)},
        {"steps": 3},
        {"lr": 0.1 + 2**-55},
        {"name": "b"},
        {"of": [2, 1]},
        {"of": (1, 2)},
        {"of": [1, 2, None]},
        {"more": None},
    ],
    ids=str,
)
def test_content_that_is_not_what_was_written_is_refused(tmp_path, change):
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, CONTENT)
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(CheckpointError, match=r"x\.ckpt isn't what was written .* damaged, or was edited"):
        load_checkpoint(path)


def test_a_bit_that_flips_on_the_disk_is_noticed(tmp_path):
    """Torch itself reads such a file without a word."""
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, CONTENT)
    stored = bytearray(path.read_bytes())
    stored[stored.index(CONTENT["weights"].numpy().tobytes()) + 7] ^= 0x20
    path.write_bytes(stored)
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], CONTENT["weights"])
    with pytest.raises(CheckpointError, match="digest is wrong"):
        load_checkpoint(path)


@pytest.mark.parametrize("damage", range(40))
def test_damaged_bytes_are_refused_or_harmless(tmp_path, damage):
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, CONTENT)
    stored = bytearray(path.read_bytes())
    stored[damage * len(stored) // 40] ^= 0xFF
    path.write_bytes(stored)
    try:
        found = load_checkpoint(path)
    except CheckpointError:
        return
    assert digest_of(found) == digest_of(CONTENT), "padding"


def test_a_checkpoint_without_a_digest_is_taken_with_a_warning(tmp_path, caplog):
    torch.save({"lr": 0.1}, tmp_path / "old.ckpt")
    assert load_checkpoint(tmp_path / "old.ckpt") == {"lr": 0.1}
    assert "old.ckpt has no digest (version 0" in caplog.text
    torch.save({"lr": 0.1, "digest": {"version": 2, "sha256": "0"}}, tmp_path / "new.ckpt")
    with pytest.raises(CheckpointError, match=r"digest of version 1 in .*new\.ckpt, got version 2"):
        load_checkpoint(tmp_path / "new.ckpt")


def test_the_digest_depends_on_values_alone():
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert digest_of(images) == digest_of(images.to(memory_format=torch.channels_last)) != digest_of(images.mT)
    plain = {"x": torch.tensor([1.5, -2.0]), 3: (True, None, b"z")}
    written = b"dict 2:str 1:xtensor torch.float32 (2,):" + struct.pack("<2f", 1.5, -2)
    written += b"int 3;tuple 3:bool True;NoneType None;bytes 1:z"
    assert digest_of(plain) == hashlib.sha256(written).hexdigest(), "files of earlier versions must stay readable"
    other = [1, True, 1.0, "1", b"1", [1], (1,), {1: 1}, ["a", "bc"], ["ab", "c"], ["abc"], [["a"], "bc"], [], {}, None]
    assert len({digest_of(value) for value in other}) == len(other)
    with pytest.raises(TypeError, match=r"plain values in a checkpoint, got \w*Path"):
        digest_of({"x": Path("x")})


def test_code_is_never_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"x": Evil()}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"not one of dsrna's .it holds an object of posix.mkdir"):
        load_checkpoint(tmp_path / "x.ckpt")
    assert not (tmp_path / "harm").exists()


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"Expected a checkpoint at .*none\.ckpt, found none"):
        load_checkpoint(tmp_path / "none.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(CheckpointError, match=r"Expected a dictionary in .*list\.ckpt, got list"):
        load_checkpoint(tmp_path / "list.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"Can't read the checkpoint .*text\.ckpt"):
        load_checkpoint(tmp_path / "text.ckpt")


def test_where_torchs_writer_stumbles_the_reason_is_told(tmp_path):
    """The disk is full, or as here a limit reached, before the file has its first byte's worth of tensors."""
    resource = pytest.importorskip("resource")
    save_checkpoint(tmp_path / "last.ckpt", {"x": torch.zeros(3)})
    before, (soft, hard) = (tmp_path / "last.ckpt").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(CheckpointError, match=r"Can't write .*last\.ckpt: File too large\. What was there"):
            save_checkpoint(tmp_path / "last.ckpt", {"x": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("last.ckpt", before)]


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_checkpoint_whole(search_stage, tmp_path, monkeypatch):
    stage = search_stage(tmp_path, epochs=2)
    finish = stage.module.finish_epoch

    def finish_then_fill(extra):
        finish(extra)
        if stage.module.current_epoch == 1:
            monkeypatch.setattr(os, "fsync", full_disk)

    stage.module.finish_epoch = finish_then_fill
    with pytest.raises(CheckpointError, match=r"Can't write .*last\.ckpt: No space left on device.*resume=auto"):
        stage.run()
    monkeypatch.undo()
    assert stage.state()["global_step"] == 3, "the first epoch's"
    assert [file.name for file in stage.last.parent.iterdir()] == ["last.ckpt"]
    again = search_stage(tmp_path, epochs=2)
    again.run()
    assert [record["epoch"] for record in again.folder.read_metrics()] == [0, 1]


@pytest.mark.slow
def test_a_full_disk_at_a_record_is_named_and_leaves_no_half_line(search_stage, tmp_path, monkeypatch):
    stage = search_stage(tmp_path, epochs=2)
    stage.folder.append_metrics({"stage": "other", "loss": 1.0})

    class HalfWritten:
        """A file on a disk that fills up in the middle of the line."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def fileno(self):
            return self.file.fileno()

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            full_disk()

    opened = Path.open

    def open_on_full_disk(self, mode="r", *args, **kwargs):
        file = opened(self, mode, *args, **kwargs)
        return HalfWritten(file) if self == stage.folder.metrics_jsonl and "a" in mode else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_full_disk)
        with pytest.raises(ConfigError, match="No space left on device"):
            stage.run()
    assert stage.folder.metrics_jsonl.read_bytes().count(b"\n") == 1
    search_stage(tmp_path, epochs=2).run()
    assert [record.get("epoch") for record in stage.folder.read_metrics()] == [None, 0, 1]


def test_on_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount")
    try:
        save_checkpoint(disk / "x.ckpt", {"x": torch.zeros(10_000)})
        with pytest.raises(CheckpointError, match=r"Can't write the checkpoint .*x\.ckpt"):
            save_checkpoint(disk / "x.ckpt", {"x": torch.ones(100_000)})
        assert torch.equal(load_checkpoint(disk / "x.ckpt")["x"], torch.zeros(10_000))
        assert [file.name for file in disk.iterdir()] == ["x.ckpt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class RecordingTrainer:
    """As much of a Trainer as SaveLast asks for; each batch takes a minute."""

    def __init__(self):
        self.saved_at, self.now, self.is_last_batch = [], 0.0, False

    def save_checkpoint(self, path, weights_only):
        assert weights_only is False
        self.saved_at.append(self.now / 60)

    def epoch(self, callback, batches):
        for batch in range(batches):
            self.now += 60
            self.is_last_batch = batch == batches - 1
            callback.on_train_batch_end(self, None, None, None, batch)
        callback.on_train_epoch_end(self, None)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (0, [7, 14]),
        (3, [3, 6, 7, 10, 13, 14]),  # counted from the last checkpoint; never between last batch and end of the epoch
        (7, [7, 14]),
        (100, [7, 14]),
    ],
)
def test_when_checkpoints_are_written(tmp_path, minutes, expected):
    trainer = RecordingTrainer()
    callback = SaveLast(tmp_path / "last.ckpt", minutes, StopSignals(at_once=False), clock=lambda: trainer.now)
    callback.on_train_start(trainer, None)
    trainer.epoch(callback, 7)
    trainer.epoch(callback, 7)
    assert trainer.saved_at == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_a_non_finite_loss_stops_with_its_step_and_a_snapshot(search_stage, retrain_stage, tmp_path, kind, caplog):
    """The learning rate throws the weights far out in the second epoch."""
    build = {"search": search_stage, "retrain": retrain_stage}[kind]
    stage = build(tmp_path, schedule=None)
    step = stage.module.training_step

    def training_step(batch, batch_idx):
        if stage.module.global_step == 4:
            stage.module.weights_optimizer().param_groups[0]["lr"] = 1e30
        step(batch, batch_idx)

    stage.module.training_step = training_step
    message = {
        "search": r"became nan in search, epoch 2, step 5\. Lower the learning rate",
        "retrain": r"In retrain, epoch 2, step 5: PGD: at image 0 .* the forward pass of `\w+.* lower learning rate",
    }
    with pytest.raises(NonFiniteError, match=message[kind]):
        stage.run()
    assert stage.state()["global_step"] == 3, "last.ckpt is that of the first epoch"
    snapshot = torch.load(stage.last.with_name("nonfinite.ckpt"), weights_only=True)
    assert snapshot["global_step"] == 5
    assert max(tensor.abs().max() for tensor in snapshot["state_dict"].values() if tensor.is_floating_point()) > 1e20
    assert [record["epoch"] for record in stage.folder.read_metrics()] == [0]
    assert "(step 5) is in" in caplog.text


@pytest.mark.slow
def test_a_non_finite_score_says_where_too(search_stage, tmp_path):
    class Broken(RobustnessMetric):
        def score(self, model, x, y, generator):
            return model(x).sum(1) * float("inf")

    with pytest.raises(NonFiniteError, match=r"In search, epoch 2, step 3: Broken: 4 of 4 scores"):
        search_stage(tmp_path, metric=Broken()).run()


def test_a_non_finite_gradient_stops_before_the_step(search_stage, tmp_path):
    stage = search_stage(tmp_path, metric=False, clip=0.0)
    name, weight = next(iter(stage.module.model.supernet.named_parameters()))
    weight.register_hook(lambda gradient: gradient * float("inf"))
    before = weight.detach().clone()
    with pytest.raises(NonFiniteError, match="norm of the weights' gradient became inf in search, epoch 1, step 0"):
        stage.run(minutes=1e-9)
    assert torch.equal(weight, before), name
    assert not stage.last.exists()


def test_a_non_finite_architecture_gradient_stops_before_the_step(search_stage, tmp_path):
    stage = search_stage(tmp_path, warmup=0, metric=False)
    alpha = stage.module.alphas[0]
    alpha.register_hook(lambda gradient: gradient * float("nan"))
    before = alpha.detach().clone()
    with pytest.raises(NonFiniteError, match="architecture gradient became nan in search, epoch 1, step 0"):
        stage.run()
    assert torch.equal(alpha, before)


@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_what_becomes_non_finite_in_the_last_batch_is_found_in_validation(search_stage, retrain_stage, tmp_path, kind):
    stage = {"search": search_stage, "retrain": retrain_stage}[kind](tmp_path)
    step = stage.module.training_step

    def training_step(batch, batch_idx):
        step(batch, batch_idx)
        if batch_idx == 2:
            with torch.no_grad():
                stage.module.weights[0].fill_(float("nan"))
                if kind == "retrain":
                    next(stage.module.validated.parameters()).fill_(float("nan"))

    stage.module.training_step = training_step
    message = {
        "search": "The validation loss became nan in search, epoch 1, step 3",
        "retrain": r"In retrain, epoch 1, step 3: PGD: at image 0 .* the forward pass of `stem.layers.0` \(Conv2d\)",
    }
    with pytest.raises(NonFiniteError, match=message[kind]):
        stage.run()
    assert not stage.last.exists()
    assert stage.best == []
    assert stage.folder.read_metrics() == []


def test_a_snapshot_that_does_not_fit_on_the_disk_hides_no_error(search_stage, tmp_path, monkeypatch, caplog):
    stage = search_stage(tmp_path)
    with torch.no_grad():
        stage.module.weights[0].fill_(float("nan"))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(NonFiniteError, match="epoch 1, step 0"):
        stage.run()
    assert "No space left on device" in caplog.text
