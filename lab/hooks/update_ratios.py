"""Writes down how far an update moves each block's weights, as a share of their norm. Changes nothing."""

from __future__ import annotations

from torch import Tensor

from lab.hooks.part import fetched, norms_of_parts
from lab.train.state import TrainingState


class UpdateRatios:
    """`|after - before| / |before|`, L2 over all weights of a part. Keeps a copy of the weights, only in the updates it measures."""

    observes = True

    def __init__(self, *, every: int) -> None:
        self.every = every
        self.before: dict[str, Tensor] = {}

    def gradients(self, state: TrainingState) -> None:
        if state.due(self.every):
            self.before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}

    def after_step(self, state: TrainingState) -> None:
        if self.before:
            weights = norms_of_parts(self.before.items())
            moved = ((name, parameter.detach() - self.before[name]) for name, parameter in state.model.named_parameters())
            state.record(fetched({part: norm / weights[part] for part, norm in norms_of_parts(moved).items()}))
            self.before = {}
