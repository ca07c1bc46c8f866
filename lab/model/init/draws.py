"""Writes a model's first weights, by parameter name: a parameter that two models share starts from the same draws in both."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from lab import streams


class Scheme(Protocol):
    """How large the first weights are. The draws themselves are the same under every scheme."""

    def scale(self, name: str, shape: tuple[int, ...], layers: int) -> float:
        """The standard deviation of a matrix's entries."""
        ...


def initialise(model: nn.Module, scheme: Scheme, *, seed: int, layers: int) -> None:
    """Draw every matrix. A vector (a norm's weight) keeps the constant that its component gave it."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                rows = parameter.shape[0]
                unit = streams.unit_rows(seed, name, rows, parameter.numel() // rows).view(parameter.shape)
                parameter.copy_(unit * scheme.scale(name, tuple(parameter.shape), layers))
