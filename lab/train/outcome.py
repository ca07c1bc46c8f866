"""What a run came to, in one record. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

METRICS = (
    "validation_bits_per_byte",
    "validation_nats_per_token",
    "validation_perplexity",
    "half_curve_bits_per_byte",
    "final_curve_bits_per_byte",
    "train_loss",
)


@dataclass(frozen=True)
class Outcome:
    """What a run came to. Numbers that don't exist (a diverged run has no final evaluation) are None."""

    status: str
    """`finished` or `diverged`"""
    step: int
    steps: int
    tokens: int
    metrics: dict[str, float | None]
    parameters: dict[str, int]
    cost: dict[str, float | None]
    digests: dict[str, str]
    diverged: dict[str, Any] | None
    """None, or the `step` that couldn't be taken and the `reason`"""
