"""Which part of the model a parameter belongs to, for observers that measure part by part. Knows names only."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def part_of(name: str) -> str:
    """`blocks.3` for all that is in that block, else the first word: `embedding`, `position`, `final_norm`, `head`."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if first == "blocks" else first


def norms_of_parts(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The L2 norm over all entries of each part's tensors, each a tensor without dimensions, in the order of the parts."""
    names, tensors = zip(*named, strict=True)
    norms: dict[str, list[Tensor]] = {}
    for name, norm in zip(names, torch._foreach_norm(list(tensors)), strict=True):
        norms.setdefault(part_of(name), []).append(norm)
    return {part: torch.stack(each).norm() for part, each in norms.items()}


def fetched(values: dict[str, Tensor]) -> dict[str, float]:
    """Numbers from tensors without dimensions, by one transfer from their device."""
    return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
