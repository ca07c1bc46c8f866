"""Nothing is added: the causal mask alone tells positions apart (Haviv et al. 2022)."""

from __future__ import annotations

from torch import Tensor, nn

# B batch  T position  D width


class NoPosition(nn.Module):
    """`[B, T, D] -> [B, T, D]`, unchanged."""

    def __init__(self, context: int, width: int, heads: int) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD
