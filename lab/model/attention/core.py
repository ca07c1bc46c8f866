"""What causal self-attention layers share: heads, the fused and the written path, norms of queries and keys, a cap on scores.

Which heads share keys and values is said by the options (mha.py, gqa.py). Query, key and value are matrices of their own, so
that each keeps its initial draws when another changes. Refuses a cap on the fused path: torch's kernel shows no scores.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.model.matrix import Linear
from lab.model.site import Site

# B batch  T position (S: the position that is looked at)  D width  N heads  K heads of keys and values  G = N / K  H head width

PATHS = ("fused", "written")


class SelfAttention(nn.Module):
    """`[B, T, D] -> [B, T, D]`; position t mixes the values at positions up to t. `path` is `fused` or `written`.

    kv_heads   heads of keys and values, a divisor of `heads`: each serves heads / kv_heads heads of queries
    qk_norm    scale each query and key to unit mean square over the head width, times a learned weight, before `turn`
               (Henry et al. 2020; Dehghani et al. 2023, section 2)
    logit_cap  keep scores within +-cap by cap * tanh(scores / cap) (Gemma 2, section 2); None: as they are
    turn       `[B, N, T, H] -> [B, N, T, H]`, applied to queries and keys (a rotary position); None: as they are
    """

    def __init__(
        self, width: int, heads: int, kv_heads: int, *, path: str, qk_norm: bool, qk_norm_eps: float, logit_cap: float | None
    ) -> None:
        super().__init__()
        assert width % heads == 0, f"{heads} heads don't divide the width {width}"
        assert path in PATHS, f"attention path {path!r}: known are {', '.join(PATHS)}"
        if heads % kv_heads:
            raise ValueError(f"kv_heads={kv_heads} doesn't divide the {heads} heads of the queries")
        if logit_cap is not None and path == "fused":
            raise ValueError(f"logit_cap={logit_cap} needs the scores, which the fused path doesn't show: add device.attention=written")
        self.heads, self.kv_heads, self.logit_cap = heads, kv_heads, logit_cap
        kv_width = width // heads * kv_heads
        self.query = Linear(width, width)
        self.key = Linear(width, kv_width)
        self.value = Linear(width, kv_width)
        self.query_norm: nn.Module | None = HeadNorm(width // heads, qk_norm_eps) if qk_norm else None
        self.key_norm: nn.Module | None = HeadNorm(width // heads, qk_norm_eps) if qk_norm else None
        self.written = path == "written"
        if self.written:
            self.scores, self.weights = Site(), Site()
        else:
            self.absent_sites = dict.fromkeys(("scores", "weights"), "device.attention=written")
        self.mixed = Site()
        self.output = Linear(width, width)

    def forward(self, x_BTD: Tensor, turn: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        query_BTNH = self.query(x_BTD).unflatten(-1, (self.heads, -1))
        key_BSKH = self.key(x_BTD).unflatten(-1, (self.kv_heads, -1))
        value_BSKH = self.value(x_BTD).unflatten(-1, (self.kv_heads, -1))
        if self.query_norm is not None and self.key_norm is not None:
            query_BTNH, key_BSKH = self.query_norm(query_BTNH.float()), self.key_norm(key_BSKH.float())
        query_BNTH, key_BKSH, value_BKSH = (each.transpose(1, 2) for each in (query_BTNH, key_BSKH, value_BSKH))
        if turn is not None:
            query_BNTH, key_BKSH = turn(query_BNTH), turn(key_BKSH)
        mix = self.mix_written if self.written else self.mix_fused
        mixed_BTD = mix(query_BNTH, key_BKSH, value_BKSH).transpose(1, 2).flatten(2)
        return self.output(self.mixed(mixed_BTD))

    def mix_fused(self, query_BNTH: Tensor, key_BKSH: Tensor, value_BKSH: Tensor) -> Tensor:
        """torch's one-kernel attention: the fastest in fp32 on a CPU."""
        return F.scaled_dot_product_attention(query_BNTH, key_BKSH, value_BKSH, is_causal=True, enable_gqa=self.kv_heads != self.heads)

    def mix_written(self, query_BNTH: Tensor, key_BKSH: Tensor, value_BKSH: Tensor) -> Tensor:
        """The same, spelt out: about 6e-7 from the fused kernel, and the faster one in bf16 on a CPU.

        Query heads that share a key head lie one below the other: one product for all, and no copy of the keys.
        """
        T, shared = query_BNTH.shape[-2], (self.kv_heads, -1)
        scale = query_BNTH.shape[-1] ** -0.5 / (self.logit_cap or 1)  # here, where it costs H entries a query, not T
        scaled_BKUH = (query_BNTH * scale).unflatten(1, shared).flatten(2, 3)  # U = G * T
        scores_BNTS = (scaled_BKUH @ key_BKSH.transpose(-2, -1)).unflatten(2, (-1, T)).flatten(1, 2)
        if self.logit_cap is not None:
            scores_BNTS = scores_BNTS.tanh() * self.logit_cap
        scores_BNTS = self.scores(scores_BNTS)
        weights_BNTS = self.weights((scores_BNTS + future(T, scores_BNTS)).softmax(-1)).to(value_BKSH.dtype)
        return (weights_BNTS.unflatten(1, shared).flatten(2, 3) @ value_BKSH).unflatten(2, (-1, T)).flatten(1, 2)

    def mixing_flops(self, positions: float) -> float:
        """Of a token in a forward pass that looks at this many positions: one product for the scores, one for the values."""
        return 4 * positions * self.query.weight.shape[0]


class HeadNorm(nn.Module):
    """`[..., H] -> [..., H]`: unit mean square over the head width, times a learned weight.

    Not lab/model/norm/rmsnorm.py: that is an option, and every run would execute it.
    """

    def __init__(self, head_width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(head_width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def future(T: int, like: Tensor) -> Tensor:
    """`[T, S]`: what is added to the scores, -inf for later positions, in their type and place.

    Added, since the backward pass of an addition is free: attention takes 20 to 25 % less time than with masked_fill
    (fp32 8 x 256: 27.6 to 21.0 ms a layer, bf16: 15.8 to 11.1), to the same bits.
    """
    return torch.full((T, T), float("-inf"), dtype=like.dtype, device=like.device).triu(1)
