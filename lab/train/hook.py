"""The contract of a hook: what runs inside the loop without the loop knowing it. Each method is optional.

    attach(model, optimizer)        once, before the first step and before any compilation; register on the model's named sites
    batch(state)                    before the forward pass; may replace state.inputs_BT and state.targets_BT, tokens for tokens
    loss(state, outputs)            an auxiliary loss: added to the training loss, logged under the hook's name
    gradients(state)                after the backward pass, before the optimizer; may change gradients in place, and may call
                                    state.loss_and_gradients() for those of the same batch at other weights
    after_step(state)               after the optimizer
    evaluation_weights(state)       weights to judge instead of the raw ones, by parameter name; the raw ones are judged beside
    evaluated(state, found)         after an evaluation, with what it found, by the names of metrics.jsonl
    state_dict() / load_state_dict  everything a resume needs: nested dicts and lists of tensors and plain values

A hook is a class with some of these methods; it inherits nothing. `observes = True` promises that it changes no bit of the run:
it may only read, `state.record(...)` numbers and `state.write(...)` texts. Observers speak first; then the others by their
`order` (a whole number, 0 where a class says nothing) and their names: a second pass before noise, clipping last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lab.errors import ConfigError

METHODS = ("attach", "batch", "loss", "gradients", "after_step", "evaluation_weights", "evaluated", "state_dict", "load_state_dict")
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


def in_order(hooks: Mapping[str, Any]) -> dict[str, Any]:
    """The hooks as they speak, whatever the order in which they were typed: that could move bits without being counted."""
    return dict(sorted(hooks.items(), key=lambda named: (not named[1].observes, getattr(named[1], "order", 0), named[0])))


def refuse_unheard(hooks: Mapping[str, Any]) -> None:
    """A hook that would do nothing is a misspelt method or one that the loop doesn't call; better said than silent."""
    for name, each in hooks.items():
        kind = f"{type(each).__module__}.{type(each).__qualname__}"
        if name in COLUMNS:
            raise ConfigError(f"hooks.{name}: a hook can't be called like a column of the metrics: {', '.join(COLUMNS)}")
        if not any(hasattr(each, method) for method in METHODS):
            raise ConfigError(f"hooks.{name}: {kind} has none of the methods that the loop calls: {', '.join(METHODS)}")
        if not isinstance(getattr(each, "observes", None), bool):
            raise ConfigError(f"hooks.{name}: {kind} must say `observes = True` (it changes no bit of the run) or `observes = False`")
        for method in ("loss", "evaluation_weights"):
            if each.observes and hasattr(each, method):
                raise ConfigError(f"hooks.{name}: {kind} says that it only observes, and has `{method}`, which changes what is judged")
    judging = [name for name, _ in methods(hooks, "evaluation_weights")]
    if len(judging) > 1:
        raise ConfigError(f"hooks {' and '.join(judging)} both give the weights to judge\nkeep one of them")
