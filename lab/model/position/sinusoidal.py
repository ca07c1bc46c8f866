"""Fixed sines and cosines of falling frequency, added to the embedding (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# B batch  T position  D width


class SinusoidalPosition(nn.Module):
    """`[B, T, D] -> [B, T, D]`, for T up to `context`: entry 2i of position t is sin(t / base**(2i / D)), entry 2i + 1 its cosine.

    The whole table is multiplied by `amplitude`: the paper's 1 stands beside embeddings of size 1.
    """

    table_TD: Tensor

    def __init__(self, context: int, width: int, heads: int, *, base: float, amplitude: float) -> None:
        super().__init__()
        pairs = torch.arange(width, dtype=torch.float64) // 2
        angles_TD = torch.arange(context, dtype=torch.float64)[:, None] / base ** (2 * pairs / width)
        table_TD = torch.where(torch.arange(width) % 2 == 0, angles_TD.sin(), angles_TD.cos())
        self.register_buffer("table_TD", (amplitude * table_TD).float(), persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD + self.table_TD[: x_BTD.shape[1]]
