"""Robustness proved image by image, with attacks beside the proofs that say how much they leave open."""

from dsrna.verification.settings import Verification
from dsrna.verification.verdict import Verdict
from dsrna.verification.verifier import verify

__all__ = ["Verdict", "Verification", "verify"]
