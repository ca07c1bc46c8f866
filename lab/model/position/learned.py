"""One learned vector per position, added to the embedding (as in GPT-2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# B batch  T position  D width


class LearnedPosition(nn.Module):
    """`[B, T, D] -> [B, T, D]`, for T up to `context`."""

    def __init__(self, context: int, width: int, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(context, width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD + self.weight[: x_BTD.shape[1]]

    def matrix_flops(self) -> int:
        """A row is added, not multiplied."""
        return 0
