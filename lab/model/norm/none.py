"""No normalisation at all: the stream is read as it is, to see what a norm is good for."""

from __future__ import annotations

from torch import Tensor, nn


class NoNorm(nn.Module):
    """`[..., D] -> [..., D]`, unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x
