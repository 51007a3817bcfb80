"""foolbox's l_2 attacks for gradients of any length. Imported with foolbox, once an attack is run."""

from __future__ import annotations

import eagerpy
import foolbox

from dsrna.functional.norms import steepest_step


class _AnyLength:
    """Gradients of any length are made unit; foolbox's own way takes 1e-12 for the least."""

    def normalize(self, gradients: eagerpy.Tensor, **_: object) -> eagerpy.Tensor:
        return eagerpy.astensor(steepest_step(gradients.raw, "l2"))


class L2PGD(_AnyLength, foolbox.attacks.L2PGD):
    pass


class L2FastGradientAttack(_AnyLength, foolbox.attacks.L2FastGradientAttack):
    pass
