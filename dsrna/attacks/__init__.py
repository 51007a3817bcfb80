"""Attacks that are cheap enough to train with: one forward and one backward pass a step."""

from dsrna.attacks.base import Attack
from dsrna.attacks.fgsm import FGSM
from dsrna.attacks.frozen import frozen
from dsrna.attacks.pgd import PGD
from dsrna.attacks.trades import TradesAttack

__all__ = ["FGSM", "PGD", "Attack", "TradesAttack", "frozen"]
