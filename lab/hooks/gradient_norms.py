"""Writes down the gradient's L2 norm in each block, and in each table and norm beside the blocks. Changes nothing."""

from __future__ import annotations

from lab.hooks.part import fetched, norms_of_parts
from lab.train.state import TrainingState


class GradientNorms:
    """Of the gradient as the backward pass left it, before any hook changed it: the squares add up to that of `gradient_norm`."""

    observes = True

    def __init__(self, *, every: int) -> None:
        self.every = every

    def gradients(self, state: TrainingState) -> None:
        if state.due(self.every):
            gradients = [(name, parameter.grad) for name, parameter in state.model.named_parameters() if parameter.grad is not None]
            state.record(fetched(norms_of_parts(gradients)))
