"""A named place in the model where a hook may look at an activation or replace it. Knows no hook and no model.

A site's name is its module path (`blocks.3.mlp.hidden`). Where nothing is registered it hands its input on: the cost is one
call of a module, under a microsecond. Refuses a pattern that matches no site, and a replacement of another shape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lab.errors import ConfigError

Function = Callable[[Tensor], "Tensor | None"]


class Site(nn.Module):
    """Any shape to the same. Functions run in the order in which they were registered; `None` leaves the value as it is."""

    def __init__(self) -> None:
        super().__init__()
        # ordered ones, since a handle refers to its table weakly, and a plain dict can't be referred to so
        self.forward_functions: OrderedDict[int, tuple[Function, bool]] = OrderedDict()
        self.backward_functions: OrderedDict[int, Function] = OrderedDict()

    def on_forward(self, function: Function, *, in_evaluation: bool) -> RemovableHandle:
        """Call `function(x)` at each forward pass: it replaces x by what it returns. The handle's `remove()` ends it.

        Without `in_evaluation` it is called only while the model trains.
        """
        handle = RemovableHandle(self.forward_functions)
        self.forward_functions[handle.id] = (function, in_evaluation)
        return handle

    def on_backward(self, function: Function) -> RemovableHandle:
        """Call `function(gradient)` when the loss's gradient by this activation arrives; what it returns flows on instead."""
        handle = RemovableHandle(self.backward_functions)
        self.backward_functions[handle.id] = function
        return handle

    def forward(self, x: Tensor) -> Tensor:
        if len(self.forward_functions) > 0:  # not its truth, which torch's compiler takes as it was the first time
            for function, in_evaluation in tuple(self.forward_functions.values()):
                if self.training or in_evaluation:
                    x = replaced(function, x)
        if len(self.backward_functions) > 0 and x.requires_grad:
            x = _Backward.apply(x, tuple(self.backward_functions.values()))
        return x


class _Backward(torch.autograd.Function):
    """The identity, whose gradient passes through functions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, functions: tuple[Function, ...]) -> Tensor:
        ctx.functions = functions
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (gradient,) = gradients
        for function in ctx.functions:
            gradient = replaced(function, gradient)
        return gradient, None


def replaced(function: Function, x: Tensor) -> Tensor:
    """What a function makes of a value: the value itself when it returns None."""
    result = function(x)
    if result is None:
        return x
    if not isinstance(result, Tensor) or result.shape != x.shape:
        found = f"a tensor of shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
        name = getattr(function, "__qualname__", repr(function))
        raise ConfigError(
            f"{name} was given a tensor of shape {tuple(x.shape)} at a site and returned {found}\n"
            f"return a tensor of the same shape to replace it, or None to leave it"
        )
    return result


def sites(model: nn.Module) -> dict[str, Site]:
    """Every site of a model by its path, in the order of the modules."""
    return {path: module for path, module in model.named_modules() if isinstance(module, Site)}


def find_sites(model: nn.Module, pattern: str) -> dict[str, Site]:
    """The sites whose path matches a shell pattern (`blocks.*.mlp.hidden`; `*` also matches dots). ConfigError when none does."""
    known = sites(model)
    found = {path: site for path, site in known.items() if fnmatchcase(path, pattern)}
    if found:
        return found
    elsewhere = sorted({way for path, way in absent_sites(model).items() if fnmatchcase(path, pattern)})
    if elsewhere:
        raise ConfigError(f"site {pattern!r} isn't in this model: it exists with {' or '.join(elsewhere)}\nadd {elsewhere[0]}")
    listed = "\n".join(f"  {path}" for path in known) or "  none"
    raise ConfigError(f"no site matches {pattern!r}; this model has:\n{listed}\ngive one of them, or a pattern like blocks.*.mlp.hidden")


def absent_sites(model: nn.Module) -> dict[str, str]:
    """Sites that this model would have under another setting, with the setting: a module says so in `absent_sites`."""
    found: dict[str, str] = {}
    for path, module in model.named_modules():
        for name, way in getattr(module, "absent_sites", {}).items():
            found[f"{path}.{name}" if path else name] = way
    return found
