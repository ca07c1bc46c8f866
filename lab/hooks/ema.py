"""Judges an average of the weights over the last updates instead of the last weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.train.state import TrainingState


class EMA:
    """`average = d * average + (1 - d) * weights` after each update; the training itself goes on from the raw weights.

    After update t (from 1) d is the smaller of `decay` and t / (warmup + t): the average forgets the initial weights early,
    and `warmup=0` means none. It begins as the initial weights.
    """

    observes = False

    def __init__(self, *, decay: float, warmup: int) -> None:
        self.decay = decay
        self.warmup = warmup
        self.average: dict[str, Tensor] = {}

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.average = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def after_step(self, state: TrainingState) -> None:
        decay = min(self.decay, state.step / (self.warmup + state.step))
        weights = [parameter.detach() for parameter in state.model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    def evaluation_weights(self, state: TrainingState) -> Mapping[str, Tensor]:
        return self.average

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for name, average in self.average.items():
            average.copy_(saved["average"][name])  # where the model is, wherever the saved one is
