"""Rotary positions: queries and keys are turned by their position, so that a score depends on the distance (Su et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# B batch  T position  D width  N heads  H head width


class RotaryPosition(nn.Module):
    """Adds nothing to the stream. `turn` rotates entries i and i + H / 2 of a head, as a pair, by position / base**(2i / H)."""

    cosine_TH: Tensor
    sine_TH: Tensor

    def __init__(self, context: int, width: int, heads: int, *, base: float) -> None:
        super().__init__()
        self.pairs, odd = divmod(width // heads, 2)
        if odd:
            raise ValueError(f"rotary positions turn pairs of entries: a head's width, d_model / n_heads = {width // heads}, must be even")
        exponents = torch.arange(self.pairs, dtype=torch.float64) / self.pairs
        angles = torch.arange(context, dtype=torch.float64)[:, None] / base**exponents
        self.register_buffer("cosine_TH", torch.cat((angles.cos(), angles.cos()), -1).float(), persistent=False)
        self.register_buffer("sine_TH", torch.cat((-angles.sin(), angles.sin()), -1).float(), persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD

    def turn(self, x_BNTH: Tensor) -> Tensor:
        """`[B, N, T, H] -> [B, N, T, H]` for T up to `context`; the result is fp32 also where x is bf16, to keep angles exact."""
        T = x_BNTH.shape[-2]
        x_BNTH = x_BNTH.contiguous()  # heads' rows side by side: a third less time for 12 x 64 and 8 x 256
        return x_BNTH * self.cosine_TH[:T] + x_BNTH.roll(self.pairs, -1) * self.sine_TH[:T]
