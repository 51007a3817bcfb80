"""Robust accuracy, measured by attack libraries that others keep well."""

from dsrna.evaluation.autoattack_engine import APGD, AutoAttack, Square
from dsrna.evaluation.base import EvaluationAttack
from dsrna.evaluation.carlini_wagner import CarliniWagner
from dsrna.evaluation.evaluator import evaluate
from dsrna.evaluation.foolbox_engine import FoolboxFGSM, FoolboxPGD

__all__ = ["APGD", "AutoAttack", "CarliniWagner", "EvaluationAttack", "FoolboxFGSM", "FoolboxPGD", "Square", "evaluate"]
