"""The two uses of a matrix: applied to a vector, looked up by row. No biases; the weights are written by lab/model/init.

torch's own Linear and Embedding draw from the global generator when they are made; these draw nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """`[..., inputs] -> [..., outputs]`; a row of the weight for each output."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


class Embedding(nn.Module):
    """`[...] -> [..., width]`; a row of the weight for each of `rows` tokens."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight)

    def matrix_flops(self) -> int:
        """A row is looked up, not multiplied."""
        return 0
