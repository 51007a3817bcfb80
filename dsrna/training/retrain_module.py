"""Retraining a network from scratch, on any objective, with the checkpoint chosen on validation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dsrna.attacks.pgd import PGD
from dsrna.data.loader import Batch
from dsrna.distributed.group import per_image
from dsrna.functional.seeding import generator
from dsrna.nn.modes import evaluation_mode
from dsrna.objectives.base import LossForward, Objective, Outputs
from dsrna.training.stage_module import StageModule, accuracy
from dsrna.training.trained_network import TrainedNetwork


class RetrainModule(StageModule):
    """Trains the network on an objective, and keeps the weights that do best on the validation split.

    "Best" is lexicographic: (robust accuracy, clean accuracy) under PGD for an adversarial objective, clean accuracy
    first for the standard baseline, whose robust accuracy is near 0 all along. An objective that aims at proofs puts
    certified accuracy before both. The test split is never seen.

    Args:
        network: the derived network, or somebody else's.
        objective: training loss, see ``dsrna.objectives``.
        selection_attack: PGD on the validation split, once an epoch.
        robust_first: whether robust accuracy decides, or clean accuracy.
        keep_last: keep the weights of the last epoch, whatever the validation split says.
        drop_path: largest drop-path probability; grows linearly over the epochs as in DARTS.
        ema_decay: decay of the weights' exponential moving average, which then is what is validated and kept; 0: none.
        noise: standard deviation of normal noise on the images of the loss's own passes, as randomised smoothing wants
            it (Cohen et al. 2019); what attacks in training see has none. 0: none.
        gradient_clip: largest norm of the gradient; 0: not clipped.
        torch_compile: attack networks that ``torch.compile`` made faster, in training and in validation; not for an
            objective that computes bounds.
        make_optimizer: weights -> (optimiser, schedule or None).
        on_best: called with the state dict of the network (or its average) and its numbers, to write it down.
        base: stage, seed, fingerprint, epochs, schedule_interval of :class:`StageModule`.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        *,
        objective: Objective,
        selection_attack: PGD,
        robust_first: bool,
        keep_last: bool,
        drop_path: float,
        ema_decay: float,
        noise: float,
        gradient_clip: float,
        torch_compile: bool,
        make_optimizer: Callable[[list[nn.Parameter]], tuple[Any, Any]],
        on_best: Callable[[dict[str, torch.Tensor], dict[str, float]], None],
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.network, self.objective, self.selection_attack = network, objective, selection_attack
        self.robust_first, self.drop_path, self.gradient_clip = robust_first, drop_path, gradient_clip
        self.keep_last, self.noise = keep_last, noise
        self.average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
            if ema_decay
            else None
        )
        attacked = [self.network, self.validated]
        # In a dictionary they are no submodules: what is saved and trained are the networks themselves.
        self._attacked = {
            network: cast(nn.Module, torch.compile(network)) if torch_compile else network for network in attacked
        }
        self._make_optimizer, self._on_best = make_optimizer, on_best
        self.weights = [p for _, p in sorted(network.named_parameters())]
        self.best: list[float] = []

    @property
    def validated(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average.module

    def configure_optimizers(self) -> Any:
        optimizer, schedule = self._make_optimizer(self.weights)
        return [optimizer], [] if schedule is None else [schedule]

    def on_train_start(self) -> None:
        super().on_train_start()
        self._set_drop_path()  # an epoch that is resumed in its middle has no start

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._set_drop_path()

    def _set_drop_path(self) -> None:
        self.network.set_drop_path(self.drop_path * self.current_epoch / self.epochs)

    def train_on(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        self.objective.advance(self.global_step / (self.epochs * int(self.trainer.num_training_batches)))
        draws = generator(self.seed, self.stage, "attack", self.current_epoch, batch_idx)
        with self.located():
            result = self.objective(self._attacked[self.network], x, y, draws, self._noisy(batch_idx))
        loss = self.finite(result.loss, "The training loss")
        self.weight_step(loss, self.weights, self.gradient_clip, result.carried, result.again)
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.averages.add("train/loss", loss.detach(), len(y))
        name = "train/acc" if result.inputs is x else "train/acc_adv"
        self.averages.add(name, accuracy(result.logits, y), len(y))
        for name, value in result.numbers.items():
            self.averages.add(f"train/{name}", value, len(y))

    def _noisy(self, batch_idx: int) -> LossForward:
        """The network's forward, on images with noise where there is to be some."""
        if not self.noise:
            return self.network.forward_with_auxiliary
        draws = generator(self.seed, self.stage, "noise", self.current_epoch, batch_idx)

        def forward(images: torch.Tensor) -> Outputs:
            noise = per_image(partial(torch.randn, generator=draws, dtype=images.dtype), images.shape).to(images.device)
            return self.network.forward_with_auxiliary(images + self.noise * noise)

        return forward

    def validate_on(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        model = self.validated
        noise = generator(self.seed, self.stage, "selection", batch_idx)  # the same start every epoch: comparable
        with torch.enable_grad(), self.located():
            x_adv = self.selection_attack(self._attacked[model], x, y, noise)
        with torch.no_grad(), evaluation_mode(model):
            self.averages.add("val/acc", accuracy(self.finite(model(x), "The mean logit in validation"), y), len(y))
            self.averages.add("val/acc_adv", accuracy(model(x_adv), y), len(y))
        certified = self.objective.certified(model, x, y)
        if certified is not None:
            self.averages.add("val/acc_certified", certified.float().mean(), len(y))

    def on_train_epoch_end(self) -> None:
        self.averages.merge()
        numbers = {name: value for name, value in self.averages.means().items() if name.startswith("val/acc")}
        order = ["val/acc_adv", "val/acc"] if self.robust_first else ["val/acc", "val/acc_adv"]
        standing = [numbers[name] for name in ["val/acc_certified", *order] if name in numbers]
        kept = self.keep_last or standing >= self.best  # on a tie the later, longer-trained one
        if kept:
            self.best = standing
            self._on_best(self.validated.state_dict(), {"epoch": self.current_epoch, **numbers})
        self.finish_epoch({"kept": float(kept)})  # the last such epoch is that of the weights on disk

    def extra_state(self) -> dict[str, Any]:
        return {"best": self.best, "objective": self.objective.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self.objective.load_state(state["objective"])
