"""What the search and the retrain module share: position, running means, random state, records, learning rates."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.data.loader import BatchLoader, PairedLoader
from dsrna.distributed import group
from dsrna.errors import CheckpointError, ConfigError, DistributedError, NonFiniteError
from dsrna.functional.memory_format import laid_out_as
from dsrna.objectives.base import Again, Carried
from dsrna.training.averages import Averages, merged
from dsrna.training.digest import digest_of
from dsrna.training.rng import rng_state, set_rng_state
from dsrna.training.weight_perturbation import perturbed

log = logging.getLogger("dsrna")


class StageModule(pl.LightningModule):
    """A stage of training with manual optimisation that resumes at any batch, bit for bit.

    Every batch takes one weight step, and only the optimiser of the weights is stepped through Lightning. So
    ``global_step`` counts weight steps, and says at which batch of which epoch the stage is. Every checkpoint holds,
    beside Lightning's part, the stage's name, the run's fingerprint, the number of batches of an epoch, the running
    means of the epoch, and the random state.

    Args:
        stage: prefix of logged keys, e.g. ``"search"``.
        seed: the run's seed; whatever is drawn comes from (seed, purpose, epoch, batch).
        fingerprint: the run's; a checkpoint of another run is refused.
        epochs: how many there will be.
        schedule_interval: ``"epoch"`` or ``"step"``: when the learning-rate schedule advances.
    """

    def __init__(self, *, stage: str, seed: int, fingerprint: str, epochs: int, schedule_interval: str) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.stage, self.seed, self.fingerprint, self.epochs = stage, seed, fingerprint, epochs
        self.schedule_interval = schedule_interval
        self.averages = Averages()
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._rng_to_restore: dict[str, Any] | None = None
        self._averages_of_all: list[dict[str, Any]] | None = None

    def on_fit_start(self) -> None:
        # Lightning itself refuses gradient_clip_val and accumulate_grad_batches where steps are taken by hand.
        if self.trainer.world_size != 1:
            raise ConfigError(
                f"Expected one device, got {self.trainer.world_size}: processes are dsrna's own, by trainer.devices."
            )
        self._started = time.monotonic()

    def on_train_start(self) -> None:
        if self._rng_to_restore is not None:
            set_rng_state(self._rng_to_restore)
            self._rng_to_restore = None
        elif group.size() > 1:  # what was measured, such as a latency, is another number in every process
            self.load_extra_state(group.from_leader(self.extra_state()))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Takes a step on a batch, of which this process has its part."""
        with group.in_parts():
            self.train_on(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Validates on every batch in turn, or, of several processes, on every n-th."""
        if batch_idx % group.size() == group.rank():
            self.validate_on(batch, batch_idx)

    def train_on(self, batch: Any, batch_idx: int) -> None:
        """Takes the steps of a batch."""
        raise NotImplementedError

    def validate_on(self, batch: Any, batch_idx: int) -> None:
        """Measures on a batch of the validation split."""
        raise NotImplementedError

    def on_train_epoch_start(self) -> None:
        loader = self.trainer.train_dataloader
        if isinstance(loader, BatchLoader | PairedLoader):
            loader.epoch = self.current_epoch

    def log_step(self, numbers: dict[str, float]) -> None:
        """Logs numbers of the step that is being taken, under the number of steps that lie behind after it."""
        for logger in self.trainer.loggers:
            logger.log_metrics(
                {f"{self.stage}/step/{name}": value for name, value in numbers.items()}, step=self.global_step + 1
            )

    def finish_epoch(self, extra: dict[str, float]) -> None:
        """Logs the epoch's record and advances the schedule; a module calls it at the end of its epoch hook."""
        self._check_that_all_are_equal()
        record = {f"{self.stage}/{name}": value for name, value in self.averages.pop().items()}
        record |= {f"{self.stage}/{name}": value for name, value in extra.items()}
        record[f"{self.stage}/lr"] = float(self.weights_optimizer().param_groups[0]["lr"])
        record[f"{self.stage}/seconds"] = round(self._seconds_before + time.monotonic() - self._started, 3)
        self._started, self._seconds_before = time.monotonic(), 0.0
        for logger in self.trainer.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **record}, step=self.global_step)
        log.info("%s epoch %d of %d: %s", self.stage, self.current_epoch + 1, self.epochs, short(record))
        if self.schedule_interval == "epoch":
            self.advance_schedule()

    def weights_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the network weights, always the first one."""
        optimizers = self.optimizers()
        return optimizers[0] if isinstance(optimizers, list) else optimizers  # type: ignore[return-value]

    def advance_schedule(self) -> None:
        schedulers = self.lr_schedulers()
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            if scheduler is not None:
                scheduler.step()

    def weight_step(
        self,
        loss: Tensor,
        weights: list[nn.Parameter],
        clip: float,
        carried: Carried | None = None,
        again: Again | None = None,
    ) -> None:
        """One step down ``loss`` in ``weights`` and in nothing else, with the gradient's norm clipped (0: not).

        What is carried is moved by its gradient from the same backward pass. Where the loss is to be taken once more,
        the step goes down its gradient at the weights that are moved uphill.

        Raises:
            NonFiniteError: the gradient is not finite; no step is taken, so a checkpoint never holds what it would do.
        """
        optimizer = self.weights_optimizer()
        wanted = weights if carried is None else [*weights, carried.delta]
        gradients: list[Tensor | None] = list(torch.autograd.grad(loss, wanted, allow_unused=True))
        if carried is not None:
            slope = gradients.pop()
            assert slope is not None
            carried.move(carried.delta, self.finite(slope, "The loss's gradient in the images"))
        gradients = group.averaged(gradients)
        if again is not None:
            with perturbed(weights, gradients, again.gamma):
                with self.located():
                    worse = again.loss()
                self.finite(worse, "The loss of perturbed weights")
                gradients = group.averaged(torch.autograd.grad(worse, weights, allow_unused=True))
        norm = nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        self.finite(norm, "The norm of the weights' gradient")
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = None if gradient is None else laid_out_as(gradient, weight)
        if clip > 0:
            nn.utils.clip_grads_with_norm_(weights, clip, norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        group.average_(self._batchnorm_statistics())
        if self.schedule_interval == "step":
            self.advance_schedule()

    def _batchnorm_statistics(self) -> list[Tensor]:
        """The running statistics of every BatchNorm, which each process has moved by those of its own images."""
        if group.size() == 1:
            return []
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        return [each for norm in norms for each in (norm.running_mean, norm.running_var) if each is not None]

    def _check_that_all_are_equal(self) -> None:
        """Whether all processes have the same network, alphas, optimisers and state, to the last bit.

        Raises:
            DistributedError: they don't: a part of the search isn't made for several processes.
        """
        if group.size() == 1:
            return
        optimizers = self.optimizers()
        states = [each.state_dict() for each in (optimizers if isinstance(optimizers, list) else [optimizers])]
        own = {
            "weights, alphas or BatchNorm statistics": digest_of(dict(self.state_dict())),
            "optimisers": digest_of(states),
            "state of the metric, the objectives, regularisers or schedules": digest_of(self.extra_state()),
        }
        for name in own:
            if len(set(group.gathered(own[name]))) > 1:
                raise DistributedError(
                    f"The processes' {name} differ after {self.place}: a part of this run isn't made for several "
                    "processes. Run it with trainer.devices=1. (conf: trainer.devices)"
                )

    def before_checkpoint(self) -> None:
        """To be called by all processes, at the same place, before the leader writes a checkpoint."""
        self._averages_of_all = group.gathered(self.averages.state_dict())

    @property
    def place(self) -> str:
        """Where the run is, for messages; ``step`` counts the weight steps taken."""
        return f"{self.stage}, epoch {self.current_epoch + 1}, step {self.global_step}"

    @contextmanager
    def located(self) -> Iterator[None]:
        """A NonFiniteError from inside says where the run is."""
        try:
            yield
        except NonFiniteError as error:
            raise NonFiniteError(f"In {self.place}: {error}", error.image) from error

    def finite(self, value: Tensor, what: str) -> Tensor:
        """``value``, or a NonFiniteError that says where the run is."""
        if not bool(torch.isfinite(value).all()):
            raise NonFiniteError(
                f"{what} became {value.detach().float().mean().item()} in {self.place}. "
                "Lower the learning rate, or clip the gradient to a smaller norm."
            )
        return value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        of_all, self._averages_of_all = self._averages_of_all or [self.averages.state_dict()], None
        checkpoint["dsrna"] = {
            "stage": self.stage,
            "fingerprint": self.fingerprint,
            "batches_per_epoch": int(self.trainer.num_training_batches),
            "averages": merged(of_all),
            **({"averages_of_processes": of_all} if len(of_all) > 1 else {}),
            "rng": rng_state(),
            "seconds": self._seconds_before + time.monotonic() - self._started,
            "extra": self.extra_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint_state(checkpoint, self.stage, self.fingerprint)
        of_all = state.get("averages_of_processes", [state["averages"]])
        if len(of_all) != group.size():  # it goes on with another number of processes
            of_all = [state["averages"], *[Averages().state_dict()] * (group.size() - 1)]
        self.averages.load_state_dict(of_all[group.rank()])
        self._seconds_before = state["seconds"]
        self.load_extra_state(state["extra"])
        self._rng_to_restore = state["rng"]

    def extra_state(self) -> dict[str, Any]:
        """Plain types that a subclass adds to every checkpoint."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`extra_state` gave."""


def checkpoint_state(checkpoint: dict[str, Any], stage: str, fingerprint: str) -> dict[str, Any]:
    """dsrna's part of a checkpoint.

    Raises:
        CheckpointError: it is of another stage or was made with other settings.
    """
    state = checkpoint.get("dsrna")
    if not isinstance(state, dict) or state.get("stage") != stage:
        raise CheckpointError(f"Expected a checkpoint of the {stage} stage. Start the stage again.")
    if state["fingerprint"] != fingerprint:
        raise CheckpointError("The checkpoint was made with other settings. Use those, or start a new run.")
    return state


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of images whose largest logit is that of their class, in [0, 1]."""
    return (logits.detach().argmax(1) == y).float().mean()


def short(record: dict[str, float]) -> str:
    """The record as a line for people: names without their stage."""
    return "  ".join(f"{key.partition('/')[2]} {value:.4g}" for key, value in record.items())
