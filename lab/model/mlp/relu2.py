"""Two matrices around a squared ReLU (So et al. 2021, Primer)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lab.model.matrix import Linear
from lab.model.site import Site

# B batch  T position  D width  F hidden width


class ReLU2(nn.Module):
    """`[B, T, D] -> [B, T, D]` through a hidden width of `expansion * width`."""

    def __init__(self, width: int, *, expansion: float) -> None:
        super().__init__()
        hidden = max(1, round(expansion * width))
        self.up = Linear(width, hidden)
        self.hidden = Site()
        self.down = Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        hidden_BTF = F.relu(self.up(x_BTD)).square()
        return self.down(self.hidden(hidden_BTF))
