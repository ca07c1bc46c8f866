"""Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import SGD

from lab.train.groups import ParameterGroup


def sgd(groups: Sequence[ParameterGroup], *, fused: bool, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> SGD:
    """torch's SGD. Its decay isn't decoupled: `weight_decay` times the weight is added to the gradient, and so enters the momentum.

    ValueError: `nesterov` without momentum.
    """
    settings = [group.settings(lr=lr, weight_decay=weight_decay) for group in groups]
    return SGD(settings, lr=lr, momentum=momentum, nesterov=nesterov, fused=fused)
