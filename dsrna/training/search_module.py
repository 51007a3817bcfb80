"""The search: weight steps and architecture steps in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.data.loader import Batch
from dsrna.distributed import group
from dsrna.functional.memory_format import laid_out_as
from dsrna.functional.seeding import generator
from dsrna.metrics.base import RobustnessMetric
from dsrna.nn.modes import batchnorm_statistics_frozen, without_gradients
from dsrna.objectives.base import Objective, Result
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.hypergradient import Hypergradient, InnerStep, Weighed
from dsrna.strategies.metric_join import MetricJoin
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.strategies.schedules.base import MakeSupernet, SearchSchedule
from dsrna.strategies.search_step import SearchStep, StepKind
from dsrna.training.architecture_history import ArchitectureHistory
from dsrna.training.collapse import CollapseWatch, logits_spread
from dsrna.training.metric_weight import MetricWeight
from dsrna.training.scheduled_search import ScheduledSearch, by_name
from dsrna.training.stage_module import StageModule, accuracy
from dsrna.types import OperationWeights

log = logging.getLogger("dsrna")


class SearchModule(StageModule):
    """Alternates, batch by batch, an architecture step and a weight step.

    Architecture step (on the architecture half; not during warm-up):
        alphas <- Adam(d/d alphas [ L_val - gamma * mean_x R(x) + sum of the regularisers' penalties ])
    where L_val is the architecture objective, R the robustness metric (DSRNA Eq. 16), and the derivative is first order
    or unrolled. Weight step (on the weights half): w <- SGD(grad_w L_train), clipped, L_train the weights objective.

    Each step begins by fixing what the architecture and the regularisers draw. Weight steps leave the alphas as they
    are, architecture steps leave the weights and BatchNorm's running statistics as they are. The architecture step
    comes first, as in DARTS's released code. Validation and history see the expected operation weights.

    Args:
        model: the supernet with its alphas and regularisers.
        space: the search space, for deriving.
        weights_objective: the training loss of weight steps.
        architecture_objective: that of architecture steps.
        hypergradient: how the derivative in the alphas is taken.
        metric: the robustness metric, or None for plain DARTS.
        metric_weight: gamma and its schedule.
        metric_join: how the metric joins the loss, by their gradients.
        warmup_epochs: epochs without architecture steps.
        gradient_clip: largest norm of the weights' gradient; 0 switches clipping off.
        make_optimizers: weights, alphas -> (weights optimiser, alphas optimiser, schedule or None).
        schedules: what may change the search while it runs.
        make_supernet: builds the supernets that a schedule may go on with.
        on_epoch: called with the history at the end of each epoch, to write it down.
        base: stage, seed, fingerprint, epochs, schedule_interval of :class:`StageModule`.
    """

    def __init__(
        self,
        model: RelaxedSupernet,
        space: SearchSpace,
        *,
        weights_objective: Objective,
        architecture_objective: Objective,
        hypergradient: Hypergradient,
        metric: RobustnessMetric | None,
        metric_weight: MetricWeight,
        metric_join: MetricJoin,
        warmup_epochs: int,
        gradient_clip: float,
        make_optimizers: Callable[[list[nn.Parameter], list[nn.Parameter]], tuple[Any, Any, Any]],
        on_epoch: Callable[[ArchitectureHistory], None],
        schedules: Sequence[SearchSchedule] = (),
        make_supernet: MakeSupernet | None = None,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.model, self.hypergradient, self.metric = model, hypergradient, metric
        self.objectives: dict[str, Objective] = {"weights": weights_objective, "architecture": architecture_objective}
        self.metric_weight, self.warmup_epochs = metric_weight, warmup_epochs
        self.metric_join, self.gradient_clip = metric_join, gradient_clip
        self.history, self.collapse = ArchitectureHistory(space), CollapseWatch(space)
        self._classes = 0
        self.schedules, self.scheduled = tuple(schedules), ScheduledSearch(self, space, make_supernet)
        self._make_optimizers, self._on_epoch = make_optimizers, on_epoch
        self.alphas = by_name(model.architecture)

    @property
    def weights(self) -> list[nn.Parameter]:
        """The network weights that are trained, by name: a schedule may freeze some."""
        return [p for p in by_name(self.model.supernet) if p.requires_grad]

    def configure_optimizers(self) -> Any:
        every = by_name(self.model.supernet)
        weights_optimizer, alphas_optimizer, schedule = self._make_optimizers(every, self.alphas)
        return [weights_optimizer, alphas_optimizer], [] if schedule is None else [schedule]

    def on_train_start(self) -> None:
        super().on_train_start()
        self.trainer.should_stop = self.scheduled.stopped  # it may go on from the checkpoint of its end

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        for schedule in self.schedules:
            schedule.begin_epoch(self.scheduled)

    @property
    def searching(self) -> bool:
        """Whether this epoch has architecture steps."""
        pauses = any(schedule.pauses(self.current_epoch, self.epochs) for schedule in self.schedules)
        pauses |= not self.model.architecture.learns
        return self.current_epoch >= self.warmup_epochs and not pauses

    def train_on(self, batch: tuple[Batch, Batch], batch_idx: int) -> None:
        train, validation = self.scheduled.batch = batch
        for objective in self.objectives.values():
            objective.advance(self.progress)
        if self.searching:
            self._architecture_step(train, validation, batch_idx)
            for schedule in self.schedules:
                schedule.before_weight_step(self.scheduled)
        self._begin_step("weights", train, batch_idx)
        with without_gradients(self.alphas), self.located():
            result = self._result("weights", train, batch_idx)
            penalties = [p for r in self.model.regularisers if (p := r.weights_penalty()) is not None]
        loss = self.finite(sum(penalties, start=result.loss), "The training loss")
        self.weight_step(loss, self.weights, self.gradient_clip, result.carried)
        self._note("train", result, train)

    def _architecture_step(self, train: Batch, validation: Batch, batch_idx: int) -> None:
        optimizer: torch.optim.Optimizer = self.optimizers(use_pl_optimizer=False)[1]  # type: ignore[index]
        self._begin_step("architecture", validation, batch_idx)
        with batchnorm_statistics_frozen(self.model):
            gradient = self.hypergradient(
                validation_loss=lambda: self._objective(validation, batch_idx),
                training_loss=lambda: self._result("weights", train, batch_idx).loss,
                alphas=self.alphas,
                weights=self.weights,
                inner=InnerStep.of(self.weights_optimizer(), self.weights),
            )
        for alpha, slope in zip(self.alphas, gradient.gradients, strict=True):
            alpha.grad = laid_out_as(self.finite(slope, "The architecture gradient"), alpha)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if self.metric is not None and self.metric.numbers and self.metric_weight.at(self.current_epoch) > 0:
            self.log_step(self.metric.numbers)

    def _objective(self, batch: Batch, batch_idx: int) -> Iterator[Tensor | Weighed]:
        """The terms of L_val - gamma * mean R + penalties, one by one to save memory; gamma as the metric joins."""
        x, y = batch
        with self.located():
            result = self._result("architecture", batch, batch_idx)
        yield self.finite(result.loss, "The loss of the architecture step")
        for name, number in result.numbers.items():
            self.averages.add(f"architecture/{name}", number, len(y))
        gamma = self.metric_weight.at(self.current_epoch)
        if self.metric is not None and gamma > 0:
            self.metric.advance(self.progress)
            noise = generator(self.seed, "metric", self.current_epoch, batch_idx)
            with self.located():
                score = self.metric(self.model, x, y, noise).mean()
            if group.size() > 1:
                self.metric.restore(group.means_of(self.metric.numbers))
            self.averages.add("val/score", score.detach(), len(y))
            for name, number in self.metric.numbers.items():
                self.averages.add(f"val/{name}", number, len(y))
            yield Weighed(-score, lambda of_loss, of_metric: self.metric_join.weights(of_loss, of_metric, gamma))
            self.metric_join.observe(group.mean_of(result.loss.item()))
            for name, number in self.metric_join.numbers.items():
                self.averages.add(f"join/{name}", number, len(y))
        for regulariser in self.model.regularisers:
            if (penalty := regulariser.penalty(self.model.architecture)) is not None:
                yield penalty

    @property
    def progress(self) -> float:
        """Share of the search's weight steps that lie behind, in [0, 1)."""
        return self.global_step / (self.epochs * int(self.trainer.num_training_batches))

    def _begin_step(self, kind: StepKind, batch: Batch, batch_idx: int) -> None:
        def loss(weights: OperationWeights) -> Tensor:
            with batchnorm_statistics_frozen(self.model):
                return F.cross_entropy(self.model.supernet(batch[0], weights), batch[1])

        noise = generator(self.seed, f"{kind} step", self.current_epoch, batch_idx)
        with self.located():
            self.model.begin_step(SearchStep(kind, self.progress, noise, loss))

    def _result(self, kind: StepKind, batch: Batch, batch_idx: int) -> Result:
        """The kind's objective; the same at every call within a batch."""
        noise = generator(self.seed, f"{kind} objective", self.current_epoch, batch_idx)
        return self.objectives[kind](self.model, *batch, noise)

    def _note(self, prefix: str, result: Result, batch: Batch) -> None:
        x, y = batch
        self._classes = result.logits.shape[1]
        self.averages.add(f"{prefix}/loss", result.loss.detach(), len(y))
        name = "acc" if result.inputs is x else "acc_adv"
        self.averages.add(f"{prefix}/{name}", accuracy(result.logits, y), len(y))
        for name, value in result.numbers.items():
            self.averages.add(f"{prefix}/{name}", value, len(y))

    def validate_on(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        with torch.no_grad():
            logits = self.model.expected_logits(x)
        loss = self.finite(F.cross_entropy(logits, y), "The validation loss")
        self.averages.add("val/loss", loss, len(y))
        self.averages.add("val/acc", accuracy(logits, y), len(y))
        if len(y) > 1:
            self.averages.add("val/logits_spread", logits_spread(logits), len(y))

    def on_train_epoch_end(self) -> None:
        self.averages.merge()
        logged: dict[str, float] = {}
        with group.in_parts():
            for schedule in self.schedules:
                logged |= schedule.end_epoch(self.scheduled, self.searching)
        logged |= self._watch_for_collapse()
        for regulariser in self.model.regularisers:
            found = regulariser.numbers(self.model.architecture)
            logged |= {f"arch/{name}": number for name, number in found.items()}
        events = self.scheduled.events
        numbers = logged | self.history.add(self.current_epoch, self.model.architecture.expected(), events)
        self.scheduled.events = []
        self._on_epoch(self.history)
        self.finish_epoch(numbers)

    def _watch_for_collapse(self) -> dict[str, float]:
        """Warns once where the search begins to collapse; what is to be logged of it."""
        if not self.searching or self.averages.count("val/logits_spread") == 0:
            return {}
        spread, reached = self.averages.mean("val/logits_spread"), self.averages.mean("val/acc")
        images = self.averages.count("val/acc")
        collapsing, warning = self.collapse.look(self.scheduled.genotype(), spread, reached, images, self._classes)
        if warning:
            self.scheduled.events.append(warning)
            log.warning("search epoch %d: %s", self.current_epoch + 1, warning)
        return {"collapsing": 1.0} if collapsing else {}

    def extra_state(self) -> dict[str, Any]:
        return {
            "history": self.history.epochs,
            "objectives": {kind: objective.state() for kind, objective in self.objectives.items()},
            "metric": self.metric.numbers if self.metric is not None else {},
            "metric_join": self.metric_join.state(),
            "collapse": self.collapse.state(),
            "regularisers": [regulariser.state() for regulariser in self.model.regularisers],
            "schedules": [schedule.state() for schedule in self.schedules],
            "scheduled": self.scheduled.state(),
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.history.epochs = state["history"]
        for kind, objective in self.objectives.items():
            objective.load_state(state["objectives"][kind])
        self.scheduled.load_state(state["scheduled"])
        self.metric_join.load_state(state["metric_join"])
        self.collapse.load_state(state["collapse"])
        for regulariser, of_regulariser in zip(self.model.regularisers, state["regularisers"], strict=True):
            regulariser.load_state(of_regulariser)
        for schedule, of_schedule in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state(of_schedule, self.model.supernet)
        if self.metric is not None:
            self.metric.restore(state["metric"])
