"""Adds Gaussian noise to every gradient, less and less of it (Neelakantan et al. 2015). Refuses nothing of its own."""

from __future__ import annotations

import torch

from lab import streams
from lab.train.state import TrainingState


class GradNoise:
    """Noise of variance `eta / (1 + t) ** gamma` in update t (from 0), from a stream of its own for each step and parameter."""

    observes = False

    def __init__(self, *, eta: float, gamma: float) -> None:
        self.eta = eta
        self.gamma = gamma
        self._stream = torch.Generator()

    def gradients(self, state: TrainingState) -> None:
        deviation = (self.eta / (1 + state.step) ** self.gamma) ** 0.5
        for name, parameter in state.model.named_parameters():
            if parameter.grad is not None:
                self._stream.manual_seed(streams.key(state.seed, "hooks", "grad_noise", state.step, name))
                noise = torch.randn(parameter.shape, generator=self._stream)
                parameter.grad.add_(noise.to(parameter.device), alpha=deviation)
