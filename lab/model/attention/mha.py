"""Multi-head causal self-attention (Vaswani et al. 2017): each head has queries, keys and values of its own."""

from __future__ import annotations

from lab.model.attention.core import SelfAttention


class MultiHeadAttention(SelfAttention):
    """SelfAttention with as many heads of keys and values as of queries."""

    def __init__(
        self, width: int, heads: int, context: int, *, path: str, qk_norm: bool, qk_norm_eps: float, logit_cap: float | None
    ) -> None:
        super().__init__(width, heads, heads, path=path, qk_norm=qk_norm, qk_norm_eps=qk_norm_eps, logit_cap=logit_cap)
