"""Grouped-query causal self-attention (Ainslie et al. 2023): several heads of queries share one head of keys and values."""

from __future__ import annotations

from lab.model.attention.core import SelfAttention


class GroupedQueryAttention(SelfAttention):
    """SelfAttention whose keys and values have `kv_heads` heads. With 1 it is multi-query attention (Shazeer 2019)."""

    def __init__(
        self, width: int, heads: int, context: int, *, kv_heads: int, path: str, qk_norm: bool, qk_norm_eps: float, logit_cap: float | None
    ) -> None:
        super().__init__(width, heads, kv_heads, path=path, qk_norm=qk_norm, qk_norm_eps=qk_norm_eps, logit_cap=logit_cap)
