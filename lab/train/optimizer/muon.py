"""Muon for the matrices inside the blocks, AdamW for everything else (Jordan et al. 2024; Liu et al. 2025 for the scale)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.optim import AdamW, Optimizer

from lab.train.groups import ParameterGroup


class MuonAndAdamW(Optimizer):
    """Two optimizers that step as one: the groups and the memory of this object are theirs, not copies."""

    def __init__(self, halves: Sequence[Optimizer]) -> None:
        super().__init__([group for half in halves for group in half.param_groups], {})
        for half in halves:
            half.state = self.state
        self.halves = halves

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as torch's own subclasses
        """One update from the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for half in self.halves:
            half.step()
        return loss


def muon(
    groups: Sequence[ParameterGroup],
    *,
    fused: bool,
    lr: float,
    momentum: float,
    nesterov: bool,
    iterations: int,
    coefficients: Sequence[float],
    eps: float,
    scale: str,
    weight_decay: float,
    adamw_lr: float,
    adamw_betas: Sequence[float],
    adamw_eps: float,
) -> MuonAndAdamW:
    """torch's Muon for the group `matrices`, torch's AdamW for the others; decay is decoupled in both, each with its own rate.

    The update of a matrix is its momentum made nearly orthogonal, by `iterations` of a Newton-Schulz polynomial with three
    `coefficients`, in bf16. `scale` says how its size follows the matrix's shape: `original` or `match_rms_adamw`. `fused` is
    for the AdamW half: torch has no fused Muon. ValueError: this torch has no Muon, or a matrix has more than two dimensions.
    """
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(
            f"Muon came with torch 2.9, this is torch {torch.__version__}: install a newer one, or choose another trainer/optimizer"
        )
    matrices = [group.settings(lr=lr, weight_decay=weight_decay) for group in groups if group.name == "matrices"]
    others = [group.settings(lr=adamw_lr, weight_decay=weight_decay) for group in groups if group.name != "matrices"]
    halves: list[Optimizer] = []
    if matrices:
        a, b, c = coefficients
        halves.append(
            torch.optim.Muon(
                matrices,
                momentum=momentum,
                nesterov=nesterov,
                ns_coefficients=(a, b, c),
                eps=eps,
                ns_steps=iterations,
                adjust_lr_fn=scale,
            )
        )
    if others:
        first, second = adamw_betas
        halves.append(AdamW(others, betas=(first, second), eps=adamw_eps, fused=fused))
    return MuonAndAdamW(halves)
