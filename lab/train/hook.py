"""The contract of a hook: what runs inside the loop without the loop knowing it. Each method is optional.

    attach(model, optimizer)        once, before the first step
    batch(state)                    before the forward pass; may replace state.inputs_BT and state.targets_BT
    loss(state, outputs)            an auxiliary loss: added to the training loss, logged under the hook's name
    gradients(state)                after the backward pass, before the optimizer; may change gradients in place
    after_step(state)               after the optimizer
    state_dict() / load_state_dict  everything a resume needs: nested dicts and lists of tensors and plain values

A hook is a class with some of these methods; it inherits nothing. `observes = True` promises that it changes no bit of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lab.errors import ConfigError

METHODS = ("attach", "batch", "loss", "gradients", "after_step", "state_dict", "load_state_dict")
NOT_YET = ("evaluation_weights",)
COLUMNS = ("step", "tokens", "loss", "lr", "gradient_norm")


@dataclass(frozen=True)
class Outputs:
    """What the model made of a micro-batch. Logits are fp32, whatever the precision of the forward pass."""

    # B batch  T position  V vocabulary
    inputs_BT: Tensor
    targets_BT: Tensor
    logits_BTV: Tensor


def methods(hooks: Mapping[str, Any], name: str) -> list[tuple[str, Callable[..., Any]]]:
    """Each hook's method of this name, with the hook's name, for the hooks that have it, in their order."""
    assert name in METHODS, f"{name} isn't part of the contract"
    return [(hook, getattr(each, name)) for hook, each in hooks.items() if hasattr(each, name)]


def refuse_unheard(hooks: Mapping[str, Any]) -> None:
    """A hook that would do nothing is a misspelt method or one that the loop doesn't call; better said than silent."""
    for name, each in hooks.items():
        kind = f"{type(each).__module__}.{type(each).__qualname__}"
        if name in COLUMNS:
            raise ConfigError(f"hooks.{name}: a hook can't be called like a column of the metrics: {', '.join(COLUMNS)}")
        for method in NOT_YET:
            if hasattr(each, method):
                raise ConfigError(f"hooks.{name}: {kind} has `{method}`, which the loop doesn't call; it calls {', '.join(METHODS)}")
        if not any(hasattr(each, method) for method in METHODS):
            raise ConfigError(f"hooks.{name}: {kind} has none of the methods that the loop calls: {', '.join(METHODS)}")
        if not isinstance(getattr(each, "observes", None), bool):
            raise ConfigError(f"hooks.{name}: {kind} must say `observes = True` (it changes no bit of the run) or `observes = False`")
