"""Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import AdamW

from lab.train.groups import ParameterGroup


def adamw(groups: Sequence[ParameterGroup], *, fused: bool, lr: float, betas: Sequence[float], eps: float, weight_decay: float) -> AdamW:
    """torch's AdamW; a step takes `lr * weight_decay` of a weight away, in the groups that decay."""
    first, second = betas
    settings = [group.settings(lr=lr, weight_decay=weight_decay) for group in groups]
    return AdamW(settings, lr=lr, betas=(first, second), eps=eps, fused=fused)
