"""Multiplies activations by Gaussian noise around 1 while training (Srivastava et al. 2014, section 10). Evaluation sees none."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab import streams
from lab.model.site import find_sites
from lab.train.state import TrainingState


class ActivationNoise:
    """`x * (1 + std * n)` at each site, n standard normal, from a stream of its own for each step, micro-batch and site.

    A second pass over the same batch meets the same noise.
    """

    observes = False

    def __init__(self, *, std: float, site: str) -> None:
        self.std = std
        self.site = site
        self.state: TrainingState | None = None
        self._stream = torch.Generator()

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        for path, site in find_sites(model, self.site).items():
            site.on_forward(partial(self.noisy, path), in_evaluation=False)

    def batch(self, state: TrainingState) -> None:
        self.state = state

    def noisy(self, path: str, x: Tensor) -> Tensor:
        state = self.state
        assert state is not None, "a site was asked for noise before the first batch"
        self._stream.manual_seed(streams.key(state.seed, "hooks", "activation_noise", state.step, state.micro_batch, path))
        factor = torch.randn(x.shape, generator=self._stream).mul_(self.std).add_(1)
        return x * factor.to(x.device, x.dtype)
