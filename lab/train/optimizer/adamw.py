"""Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import AdamW


def adamw(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    *,
    fused: bool,
    lr: float,
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
) -> AdamW:
    """torch's AdamW; decay pulls on matrices only, since a norm's weight has no scale that could be given up."""
    parameters = [parameter for _, parameter in named_parameters]
    groups = [
        {"params": [each for each in parameters if each.ndim >= 2], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    first, second = betas
    return AdamW([group for group in groups if group["params"]], lr=lr, betas=(first, second), eps=eps, fused=fused)
