"""Sound bounds of a network's logits and margins over a ball around each image, cut with [0, 1].

Engines, from the cheapest and loosest to the tightest: :class:`~dsrna.bounds.ibp.IBP` (interval arithmetic),
:class:`~dsrna.bounds.crown_ibp.CrownIBP`, :class:`~dsrna.bounds.crown.Crown` and
:class:`~dsrna.bounds.alpha_crown.AlphaCrown` (linear relaxation), :class:`~dsrna.bounds.beta_crown.BetaCrown` (with
branch and bound: complete), all on networks as they are;
:class:`~dsrna.bounds.auto_lirpa.AutoLirpa` is the reference that they are tested against, on a lowered network. All are
called as ``engine(model, x, eps, y) -> Bounds(lower, upper)``; :func:`~dsrna.bounds.engines.bound_engine` makes them by
name.

Intervals, relaxation and lowering share one idea: the network's own forward is run on something that stands for a
tensor (:class:`~dsrna.bounds.abstract_tensor.AbstractTensor`), so that no second description of a network could
differ from what it computes.
"""
