"""Training losses of the retrain stage."""

from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.base import Carried, Objective, Result
from dsrna.objectives.certified import Certified
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.free import FreeAdversarial
from dsrna.objectives.standard import Standard
from dsrna.objectives.trades import Trades

__all__ = [
    "Adversarial",
    "Carried",
    "Certified",
    "FastAdversarial",
    "FreeAdversarial",
    "Objective",
    "Result",
    "Standard",
    "Trades",
]
