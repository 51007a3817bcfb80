"""Sound bounds of a network's logits and margins over a ball around each image, cut with [0, 1].

Engines, from the cheapest and loosest to the tightest: :class:`~dsrna.bounds.ibp.IBP` (our own interval arithmetic, on
networks as they are), :class:`~dsrna.bounds.crown_ibp.CrownIBP` and :class:`~dsrna.bounds.crown.Crown` (linear
relaxation by auto_LiRPA, on lowered networks). All are called as ``engine(model, x, eps, y) -> Bounds(lower, upper)``.

Interval arithmetic and lowering share one idea: the network's own forward is run on something that stands for a tensor
(:class:`~dsrna.bounds.abstract_tensor.AbstractTensor`), so that no second description of a network exists that could
differ from what it computes.
"""
