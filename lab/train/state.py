"""What a hook may see of the run, and change where the contract says so. One object for a whole sitting, updated in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass
class TrainingState:
    """`step` counts the updates that are done: during the forward pass of the first one it is 0."""

    # B batch  T position
    model: nn.Module
    optimizer: Optimizer
    steps: int
    step: int = 0
    tokens: int = 0
    """training tokens seen"""
    learning_rate: float = 0.0
    """of the first parameter group, at this step"""
    inputs_BT: Tensor | None = None
    targets_BT: Tensor | None = None
    loss: float = float("nan")
    """of this step's batch, nats per token, without auxiliary losses"""
    auxiliary: dict[str, float] = field(default_factory=dict)
    """what each hook added to the loss, by its name"""
    gradients: list[Tensor] = field(default_factory=list)
    gradient_norm: float = float("nan")
    """L2, over all parameters, before any hook changed it"""

    def scale_gradients(self, share: float) -> None:
        """Multiply every gradient in place."""
        torch._foreach_mul_(self.gradients, share)
