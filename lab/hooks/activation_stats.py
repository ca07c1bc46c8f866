"""Writes down the size, mean and share of dead units of activations at named sites. Changes nothing: it looks in a pass of its own."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.hooks.part import fetched
from lab.model.site import find_sites
from lab.train.state import TrainingState


class ActivationStats:
    """Per site, over the step's batch (its first part, where it is trained in parts): `rms`, `mean`, and `dead`, the share of
    units (entries of the last axis) that are dead.

    A unit is dead when its magnitude is nowhere in the batch above `dead_below` times the site's rms. Without dropout or
    activation noise, at the weights before the update.
    """

    observes = True

    def __init__(self, *, every: int, site: str, dead_below: float) -> None:
        self.every = every
        self.site = site
        self.dead_below = dead_below
        self.paths: list[str] = []
        self.values: dict[str, Tensor] = {}

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.paths = list(find_sites(model, self.site))

    def gradients(self, state: TrainingState) -> None:
        if state.due(self.every):
            state.look_at({path: partial(self.measure, path) for path in self.paths})
            state.record(fetched(self.values))
            self.values = {}

    def measure(self, path: str, x: Tensor) -> None:
        units = x.float().flatten(0, -2)
        rms = units.square().mean().sqrt()
        dead = torch.le(units.abs().amax(0), self.dead_below * rms).float().mean()
        self.values |= {f"{path}.rms": rms, f"{path}.mean": units.mean(), f"{path}.dead": dead}
