"""What an optimizer remembers, by parameter name, so that it can be saved, compared and given back."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer


def memory(optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
    """Moments and counters by parameter name, and each group's numbers. Shares the tensors with the optimizer."""
    state = {name: dict(optimizer.state[parameter]) for name, parameter in model.named_parameters() if parameter in optimizer.state}
    groups = [{key: value for key, value in group.items() if isinstance(value, (int, float))} for group in optimizer.param_groups]
    return {"state": state, "groups": groups}


def remember(optimizer: Optimizer, model: nn.Module, saved: dict[str, Any]) -> None:
    """The reverse: tensors are taken over as they are, in their dtype."""
    parameters = dict(model.named_parameters())
    for name, state in saved["state"].items():
        optimizer.state[parameters[name]] = state
    for group, numbers in zip(optimizer.param_groups, saved["groups"], strict=True):
        group.update(numbers)
