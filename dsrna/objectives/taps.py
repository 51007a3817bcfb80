"""TAPS and STAPS: intervals in front, an attack behind."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from dsrna.attacks.pgd import check_count
from dsrna.nn.chain import Divided
from dsrna.objectives.attacked_bounds import AttackedBounds
from dsrna.objectives.certified_training import Numbers, check_shares, worst_losses
from dsrna.objectives.latent_box import Connected, LatentBox
from dsrna.objectives.seen_batch import SeenBatch


@dataclass(kw_only=True, eq=False)
class TAPS(AttackedBounds):
    """L = L_a L_i for each image: the loss by intervals up to a layer and an attack from there on, times that of IBP.

    Intervals go as far as the nonlinear layer before the last ``classifier`` ones. In the box that they leave open
    there, PGD looks for the least margin over each wrong class by itself; L_a is the cross-entropy of these margins,
    between that of an attack on images and L_i, that of intervals all the way. Gradients pass from the points that
    are found to the ends of the box, see :class:`~dsrna.objectives.latent_box.Connected`. L's gradient weighs the two
    losses: 2 (1 - alpha) L_i dL_a + 2 alpha L_a dL_i. While the radius grows, L is L_i.

    In a network of cells, these are its nonlinear layers: box and attack begin between two cells, at all outputs that
    later cells take.

    With a ``box`` below 1, STAPS: all this in SABR's small ball of radius ``box`` * eps, whose centre PGD finds.

    Cost: IBP's, and ``steps`` forward and backward passes of the classifier for each wrong class; STAPS's attack on
    images in addition.

    Args:
        alpha: the share of IBP's gradient, in [0, 1]; the paper's alpha is 1 minus this, its w_TAPS (1 - alpha) /
            alpha.
        classifier: how many nonlinear layers, or cells, lie behind the box, >= 1; more for small balls.
        box: radius of the ball over eps, in (0, 1].

    All others, and errors, are those of :class:`~dsrna.objectives.attacked_bounds.AttackedBounds`; ``steps`` and
    ``relative_step_size`` are of both attacks. Networks are refused that can't be divided, or have too few layers, see
    :class:`~dsrna.nn.chain.Divided`.

    Differs from the released code: L is the mean of products, not the product of two means over the batch; steps of
    constant length from one start.

    References:
        Mao et al., Connecting Certified and Adversarial Training (NeurIPS 2023).
    """

    classifier: int = 1
    box: float = 1.0

    def __post_init__(self) -> None:
        check_count("classifier", self.classifier)
        check_shares(box=self.box)
        super().__post_init__()

    @property
    def title(self) -> str:
        name = "TAPS" if self.box == 1 else f"STAPS, {self.box:g}"
        return f"certified training ({name}, {self.alpha:g})"

    def initialise(self, model: nn.Module) -> None:
        Divided(model, self.classifier)  # refuses it before the training begins
        super().initialise(model)

    def robust_loss(self, seen: SeenBatch, x: Tensor, eps: float) -> tuple[Tensor, Numbers]:
        radius = self.box * eps
        latent = seen.latent_box(self.examples(seen, x, eps - radius), radius, self.classifier)
        boxed = worst_losses(latent.margins, seen.y)
        numbers: Numbers = {
            "loss_box": boxed.mean().detach(),
            "acc_box": (latent.margins.amin(dim=1) > 0).float().mean(),
        }
        if eps < self.largest or eps == 0:
            return boxed.mean(), numbers
        attacked = worst_losses(latent.margins_at(self.latent_examples(seen, latent), seen.y), seen.y)
        numbers["loss_latent"] = attacked.mean().detach()
        product = _weighed(attacked, 2 * (1 - self.alpha)) * _weighed(boxed, 2 * self.alpha)
        return product.mean(), numbers

    def latent_examples(self, seen: SeenBatch, latent: LatentBox) -> tuple[Connected, ...]:
        """What the attack finds in the box."""
        return latent.worst_points(seen.y, self.steps, self.relative_step_size, seen.generator)


def _weighed(value: Tensor, weight: float) -> Tensor:
    """The value, with ``weight`` times its gradient."""
    return value.detach() + weight * (value - value.detach())
