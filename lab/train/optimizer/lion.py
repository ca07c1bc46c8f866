"""Lion, the sign of a momentum as the update (Chen et al. 2023, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lab.train.groups import ParameterGroup


class Lion(Optimizer):
    """Every weight moves by `lr` up or down; a step takes `lr * weight_decay` of it away, in the groups that decay.

    Remembers one tensor per parameter, half of Adam's. `fused` changes nothing: torch has no Lion kernel, and the update goes
    over a whole group's tensors at once.
    """

    def __init__(self, groups: Sequence[ParameterGroup], *, fused: bool, lr: float, betas: Sequence[float], weight_decay: float) -> None:
        del fused
        super().__init__([group.settings(lr=lr, weight_decay=weight_decay) for group in groups], {})
        self.mixed, self.kept = betas  # the momentum's share in the update's direction; its share in the next momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as torch's own subclasses
        """One update from the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.move(group)
        return loss

    def move(self, group: dict[str, Any]) -> None:
        """One group's update. Afterwards the momentum has taken the gradient in, at another rate than the update did."""
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        for weight in weights:
            if weight not in self.state:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights]
        momenta = [self.state[weight]["momentum"] for weight in weights]
        directions = torch._foreach_lerp(momenta, gradients, 1 - self.mixed)
        torch._foreach_sign_(directions)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, directions, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - self.kept)
