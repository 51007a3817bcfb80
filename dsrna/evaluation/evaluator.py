"""Clean and robust accuracy of a network, with everything needed to judge the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

import dsrna
from dsrna.errors import ConfigError, NonFiniteError
from dsrna.evaluation.base import EvaluationAttack
from dsrna.evaluation.bench import Bench, EvaluationData, Progress, accuracy_of
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.evaluation.gradients import PROBED, gradient_checks, loss_surface
from dsrna.evaluation.masking import Measurement, at_chance, masking_checks
from dsrna.evaluation.outcome_file import OutcomeFile, outcome_name
from dsrna.evaluation.random_networks import draws_random_numbers, random_check
from dsrna.evaluation.repeats import repeats_entry
from dsrna.evaluation.saved_examples import SavedExamples
from dsrna.evaluation.transferred import Transferred
from dsrna.evaluation.worst_case import worst_case
from dsrna.functional.seeding import derive_seed
from dsrna.types import Threat

Record = dict[str, Any]


class LabelledData(EvaluationData, Protocol):
    """Images whose classes, (M,) int64, are known without reading the images."""

    labels: Tensor


def evaluate(
    model: nn.Module,
    dataset: LabelledData,
    attacks: Sequence[EvaluationAttack],
    threat: Threat,
    *,
    seed: int,
    batch_size: int,
    folder: Path,
    threats: Sequence[Threat] = (),
    save_examples: bool = False,
    eps_curve: Sequence[float] = (),
    grid: Sequence[tuple[EvaluationAttack, Threat]] = (),
    others: Sequence[nn.Module] = (),
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Clean accuracy, robust accuracy under every attack and against eps, and checks for gradient masking.

    An image that is misclassified without an attack counts as not robust; attacks run only on the others. Accuracies
    under attack are upper estimates of the robust accuracy.

    After every batch the outcomes so far are in ``folder`` (:class:`dsrna.evaluation.outcome_file.OutcomeFile`,
    ``<attack>_<norm>_<eps>.json``), and the same call goes on from there. Random numbers of a batch come from (seed,
    attack, batch number), so an interrupted evaluation ends as an uninterrupted one. All eps share random starts.

    The curve is measured by PGD-20. PGD-20 without a random start is the check at a large eps (0.5 for l_inf, half the
    diagonal of the image cube for l_2), which has a file but no record.

    Cost: one forward pass over the data, then that of the attacks.

    Args:
        model: network (N, C, H, W) -> logits (N, K); moved to ``device``, its modes are left as they are.
        dataset: images in [0, 1] with classes 0..K-1.
        attacks: what to attack with, under different keys.
        threat: the threat model.
        seed: the run's seed.
        batch_size: images attacked at once.
        folder: where the outcome files go.
        threats: further threat models, in which those of the attacks run that know the norm; neither the curve, the
            grid nor the checks look at them.
        save_examples: keep the images that the attacks end with (:mod:`dsrna.evaluation.saved_examples`).
        eps_curve: radii of the curve, in the norm of ``threat``.
        grid: further attacks, each in a threat model of its own.
        others: networks for the same images, on which PGD makes images for the check that transfer is no stronger than
            PGD itself; it has a file but no record.
        device: where the network runs.
        progress: called after every batch.

    Returns:
        ``{"clean": record, "records": [record of each attack, then of the worst case over them], "further": [the same
        in each of ``threats``], "curve": [record of each eps], "grid": [record of each pair], "checks": [see
        :func:`dsrna.evaluation.masking.masking_checks`], "guessing": accuracy of the best answer that ignores the image
        (the share of the most frequent class), "surface": see :func:`dsrna.evaluation.gradients.loss_surface`,
        "images": int, "classes": int}``. A record is
        plain: attack (key), label, norm, eps, accuracy in [0, 1], interval ([low, high], Wilson's 95 % for the sampling
        of images), images, engine, version, seed, restarts, steps, step_size (None: adaptive), seconds. The clean
        record has eps 0, steps 0 and restarts 0; that of a repeated attack is of its first measurement, and has
        ``repeats``, see :func:`dsrna.evaluation.repeats.repeats_entry`; for that of the worst case see
        :func:`dsrna.evaluation.worst_case`.

    Raises:
        ConfigError: two attacks share a key, or a value is out of range.
        DataError: there are no images, or they don't fit the network.
        CheckpointError: ``folder`` holds results of another evaluation.
        NonFiniteError: the network's logits aren't finite, or its gradients on the way of an attack.
    """
    curve_attack = FoolboxPGD(steps=20)
    # A random start in so large a ball would break most images by itself, whatever the gradients do.
    large_eps_attack = FoolboxPGD(steps=20, random_start=False, key="pgd20-large-eps", label="PGD-20 from the image")
    curve_threats = [Threat(threat.norm, eps) for eps in eps_curve]
    _check_keys([*attacks, *(attack for attack, _ in grid), curve_attack, large_eps_attack])
    bench = AttackBench(model, dataset, seed, batch_size, folder, device, progress)
    clean, correct = bench.clean(threat)
    measured = [bench.repeated(attack, threat, correct, save_examples) for attack in attacks]
    in_others = [
        [bench.repeated(attack, other, correct, save_examples) for attack in attacks if other.norm in attack.norms]
        for other in threats
    ]
    curve = [bench.attacked(curve_attack, point, correct).record for point in curve_threats]
    further = [bench.attacked(attack, point, correct).record for attack, point in grid]
    at_large_eps = bench.attacked(large_eps_attack, bench.threat_with_grey(threat), correct)
    transferred = [bench.attacked(Transferred(others=others), threat, correct)] if others else []
    guessing = torch.bincount(dataset.labels).max().item() / len(dataset)
    x, y = bench.first_right(correct, PROBED)
    return {
        "clean": clean,
        "records": _with_worst_case(measured),
        "further": [record for of_one in in_others for record in _with_worst_case(of_one)],
        "curve": curve,
        "grid": further,
        "checks": [
            *masking_checks([*measured, *transferred], at_large_eps, clean, correct, guessing),
            random_check(attacks, bench.draws()),
            *gradient_checks(bench.model, x, y, threat, seed, at_chance(clean, guessing)),
        ],
        "surface": loss_surface(bench.model, x, y, threat, seed),
        "guessing": guessing,
        "images": len(dataset),
        "classes": dataset.classes,
    }


class AttackBench(Bench):
    """Clean accuracy, and accuracies under attack."""

    def clean(self, threat: Threat) -> tuple[Record, Tensor]:
        """The clean record and (M,) bool, which images are correct."""
        settings = {"attack": "clean", "engine": "dsrna", "version": dsrna.__version__}
        file = self.measure("clean", "Clean", settings, self.classify, len(self.dataset))
        procedure = {"restarts": 0, "steps": 0, "step_size": None}
        return self._record("Clean", Threat(threat.norm, 0), settings | procedure, file), file.outcomes

    def first_right(self, correct: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The first so many of the first images that are correct, and their classes, where the network is."""
        places = correct[: len(self.first_images)].nonzero().flatten()[:most]
        return self.first_images[places].to(self.device), self.first_labels[places].to(self.device)

    def draws(self) -> bool:
        """Whether the network draws random numbers when it classifies."""
        return draws_random_numbers(self.model, self.first_images[: self.batch_size].to(self.device))

    def repeated(self, attack: EvaluationAttack, threat: Threat, correct: Tensor, save_examples: bool) -> Measurement:
        """As :meth:`attacked`, so often as the attack is to be repeated."""
        first, *others = (
            self.attacked(attack, threat, correct, repeat, save_examples) for repeat in range(attack.repeats)
        )
        if not others:
            return first
        accuracies = [one.record["accuracy"] for one in (first, *others)]
        record = first.record | {"repeats": repeats_entry(accuracies)}
        return first._replace(record=record, further=tuple(one.outcomes for one in others))

    def attacked(
        self, attack: EvaluationAttack, threat: Threat, correct: Tensor, repeat: int = 0, save_examples: bool = False
    ) -> Measurement:
        """Which of the ``correct`` (M,) images stay so under an attack; all outcomes are in the bench's folder."""
        name = outcome_name(attack.key, threat, repeat)
        examples = SavedExamples(self.folder / "examples", name) if save_examples else None

        def outcome(number: int, place: slice, x: Tensor, y: Tensor) -> Tensor:
            robust = correct[place].clone()
            standing = robust.to(x.device)
            x, y = x[standing], y[standing]
            drawn: list[str | int] = ["repeat", repeat] if repeat else []
            seed = derive_seed(self.seed, attack.key, number, *drawn)
            try:
                found, still = attack.examples(self.model, x, y, threat, seed)
            except NonFiniteError as error:
                if error.image is None:
                    raise
                image = place.start + int(correct[place].nonzero()[error.image])
                raise NonFiniteError(f"At image {image} of the evaluation: {error}", image) from error
            robust[correct[place]] = still.cpu()
            if examples is not None:
                examples.save(place.start + correct[place].nonzero().flatten(), found, y)
            return robust

        procedure = attack.procedure(threat)
        settings = {
            "attack": attack.key,
            "engine": procedure.engine,
            "version": procedure.version,
            "restarts": procedure.restarts,
            "steps": procedure.steps,
            "step_size": procedure.step_size,
        }
        header = settings | {"norm": threat.norm, "eps": threat.eps, "options": attack.options()}
        header |= {"repeat": repeat} if repeat else {}
        header |= {"examples": True} if save_examples else {}
        images = len(correct) if attack.images is None else min(attack.images, len(correct))
        file = self.measure(name, attack.label, header, outcome, images)
        record = self._record(attack.label, threat, settings, file)
        return Measurement(record, attack.kind, file.outcomes, maximises=attack.maximises)

    def threat_with_grey(self, threat: Threat) -> Threat:
        """The ball that reaches the grey image of pixels 0.5 from every image."""
        return Threat(threat.norm, 0.5 if threat.norm == "linf" else 0.5 * self.image_values**0.5)

    def _record(self, label: str, threat: Threat, settings: dict[str, Any], file: OutcomeFile) -> Record:
        return {
            "attack": settings["attack"],
            "label": label,
            "norm": threat.norm,
            "eps": float(threat.eps),
            **accuracy_of(file.outcomes),
            "engine": settings["engine"],
            "version": settings["version"],
            "seed": self.seed,
            "restarts": settings["restarts"],
            "steps": settings["steps"],
            "step_size": settings["step_size"],
            "seconds": file.seconds,
        }


def _with_worst_case(measured: Sequence[Measurement]) -> list[Record]:
    return [*(measurement.record for measurement in measured), *worst_case(measured)]


def _check_keys(attacks: Sequence[EvaluationAttack]) -> None:
    seen: dict[str, EvaluationAttack] = {}
    for attack in attacks:
        other = seen.setdefault(attack.key, attack)
        if other.options() != attack.options():
            raise ConfigError(
                f"Expected every attack to have its own key, got {attack.key!r} for {other} and {attack}; "
                "give one of them another `key`. (conf: evaluate.attacks)"
            )
