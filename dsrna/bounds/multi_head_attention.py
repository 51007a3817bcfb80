"""What torch.nn.MultiheadAttention computes."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from dsrna.bounds.stand_in import StandIn


class MultiHeadAttention(StandIn):
    """Attention of several heads, written with the operations that there are rules for."""

    def multi_head_attention_forward(
        self,
        key: Any,
        value: Any,
        embed_dim_to_check: int,
        num_heads: int,
        in_proj_weight: Tensor | None,
        in_proj_bias: Tensor | None,
        bias_k: Tensor | None,
        bias_v: Tensor | None,
        add_zero_attn: bool,
        dropout_p: float,
        out_proj_weight: Tensor,
        out_proj_bias: Tensor | None,
        training: bool = True,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        use_separate_proj_weight: bool = False,
        q_proj_weight: Tensor | None = None,
        k_proj_weight: Tensor | None = None,
        v_proj_weight: Tensor | None = None,
        static_k: Tensor | None = None,
        static_v: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """See torch.nn.functional.multi_head_attention_forward: tokens first, images second.

        Without dropout, key_padding_mask, and keys and values of its own; masks of floating point numbers (L, S) alone.
        """
        if training and dropout_p > 0:
            self._refuse("dropout in attention; put the network in evaluation mode")
        extras = (bias_k, bias_v, key_padding_mask, static_k, static_v)
        if add_zero_attn or any(extra is not None for extra in extras):
            self._refuse("MultiheadAttention with add_bias_kv, add_zero_attn, a key_padding_mask or known keys")
        if attn_mask is not None and (attn_mask.ndim != 2 or not attn_mask.is_floating_point()):
            self._refuse("MultiheadAttention with a mask that isn't of floating point numbers (L, S)")
        if not all(isinstance(part, StandIn) and part.ndim == 3 for part in (self, key, value)):
            self._refuse("MultiheadAttention of anything but query, keys and values (N, L, E) that depend on the image")
        if use_separate_proj_weight:
            matrices: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
        else:
            assert in_proj_weight is not None
            matrices = in_proj_weight.chunk(3)
        shifts = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
        heads = []
        for tokens, matrix, shift in zip((self, key, value), matrices, shifts, strict=True):
            tokens = tokens.transpose(0, 1)
            if not isinstance(tokens, MultiHeadAttention) or tokens.images_along != 0:
                self._refuse_mixing()
            heads.append(tokens.linear(matrix, shift).unflatten(2, (num_heads, -1)).transpose(1, 2))
        query, keys, values = heads
        scores = (query * (1 / math.sqrt(query.shape[-1]))) @ keys.transpose(2, 3)
        weights = (scores if attn_mask is None else scores + attn_mask).softmax(3)
        output = (weights @ values).transpose(1, 2).flatten(2).linear(out_proj_weight, out_proj_bias).transpose(0, 1)
        if not need_weights:
            return output, None
        return output, weights.mean(1) if average_attn_weights else weights
