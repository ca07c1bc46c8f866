"""Multi-head causal self-attention (Vaswani et al. 2017), by torch's fused kernel or written out.

Query, key and value are matrices of their own, so that each keeps its initial draws when another changes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.model.matrix import Linear

# B batch  T position (S: the position that is looked at)  D width  N heads  H head width


def fused(query_BNTH: Tensor, key_BNSH: Tensor, value_BNSH: Tensor, future_TS: Tensor) -> Tensor:
    """torch's one-kernel attention: the fastest in fp32 on a CPU."""
    return F.scaled_dot_product_attention(query_BNTH, key_BNSH, value_BNSH, is_causal=True)


def written(query_BNTH: Tensor, key_BNSH: Tensor, value_BNSH: Tensor, future_TS: Tensor) -> Tensor:
    """The same, spelt out: about 6e-7 from the fused kernel, and the faster one in bf16 on a CPU."""
    scores_BNTS = (query_BNTH * query_BNTH.shape[-1] ** -0.5) @ key_BNSH.transpose(-2, -1)
    weights_BNTS = scores_BNTS.masked_fill(future_TS, float("-inf")).softmax(-1)
    return weights_BNTS.to(value_BNSH.dtype) @ value_BNSH


PATHS = {"fused": fused, "written": written}


class MultiHeadAttention(nn.Module):
    """`[B, T, D] -> [B, T, D]`; position t mixes the values at positions up to t. `path` is `fused` or `written`."""

    future_TS: Tensor

    def __init__(self, width: int, heads: int, context: int, *, path: str) -> None:
        super().__init__()
        assert width % heads == 0, f"{heads} heads don't divide the width {width}"
        assert path in PATHS, f"attention path {path!r}: known are {', '.join(PATHS)}"
        self.heads = heads
        self.mix = PATHS[path]
        self.query = Linear(width, width)
        self.key = Linear(width, width)
        self.value = Linear(width, width)
        self.output = Linear(width, width)
        self.register_buffer("future_TS", torch.ones(context, context, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        T = x_BTD.shape[1]
        query_BNTH, key_BNTH, value_BNTH = (self.split(matrix(x_BTD)) for matrix in (self.query, self.key, self.value))
        mixed_BNTH = self.mix(query_BNTH, key_BNTH, value_BNTH, self.future_TS[:T, :T])
        return self.output(mixed_BNTH.transpose(1, 2).flatten(2))

    def split(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D] -> [B, N, T, H]`: each head's part of the width, heads before positions."""
        return x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)
