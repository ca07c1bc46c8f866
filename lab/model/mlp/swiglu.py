"""Three matrices: the SiLU of one half gates the other (Shazeer 2020)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lab.model.matrix import Linear
from lab.model.site import Site

# B batch  T position  D width  F hidden width


class SwiGLU(nn.Module):
    """`[B, T, D] -> [B, T, D]`. The hidden width is two thirds of `expansion * width`, to the nearest multiple of 8:

    three such matrices have the parameters of the two of a GELU of the same expansion.
    """

    def __init__(self, width: int, *, expansion: float) -> None:
        super().__init__()
        hidden = max(1, round(expansion * width * 2 / 3 / 8)) * 8
        self.gate = Linear(width, hidden)
        self.up = Linear(width, hidden)
        self.hidden = Site()
        self.down = Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        hidden_BTF = F.silu(self.gate(x_BTD)) * self.up(x_BTD)
        return self.down(self.hidden(hidden_BTF))
