"""What an optimizer remembers, by parameter name, so that it can be saved, compared and given back."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


def memory(optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
    """Moments and counters by parameter name, and each group's numbers. Shares the tensors with the optimizer."""
    state = {name: dict(optimizer.state[parameter]) for name, parameter in model.named_parameters() if parameter in optimizer.state}
    groups = [{key: value for key, value in group.items() if isinstance(value, (int, float))} for group in optimizer.param_groups]
    return {"state": state, "groups": groups}


def placed(value: Any, parameter: nn.Parameter, fused: bool) -> Any:
    """A moment beside its parameter. A counter (a tensor without dimensions) stays on the CPU, but for the fused kernels."""
    return value.to(parameter.device) if isinstance(value, Tensor) and (value.ndim > 0 or fused) else value


def remember(optimizer: Optimizer, model: nn.Module, saved: dict[str, Any]) -> None:
    """The reverse: tensors keep their dtype, and lie where torch would have made them."""
    parameters = dict(model.named_parameters())
    fused = {id(each) for group in optimizer.param_groups if group.get("fused") for each in group["params"]}
    for name, state in saved["state"].items():
        parameter = parameters[name]
        optimizer.state[parameter] = {key: placed(value, parameter, id(parameter) in fused) for key, value in state.items()}
    for group, numbers in zip(optimizer.param_groups, saved["groups"], strict=True):
        group.update(numbers)
