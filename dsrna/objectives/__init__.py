"""Training losses of the retrain stage."""

from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.base import Objective, Result
from dsrna.objectives.certified import Certified
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.standard import Standard
from dsrna.objectives.trades import Trades

__all__ = ["Adversarial", "Certified", "FastAdversarial", "Objective", "Result", "Standard", "Trades"]
