"""What a run came to, in one record. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# What every run is measured by. A run has more where there is more to measure: `train_loss`, `validation_above_entropy` on a
# text whose source has a known entropy, `validation_raw_bits_per_byte` where a hook's weights are judged instead of the raw ones.
METRICS = (
    "validation_bits_per_byte",
    "validation_nats_per_token",
    "validation_perplexity",
    "half_curve_bits_per_byte",
    "final_curve_bits_per_byte",
)
# What each document of the final evaluation cost: {"schema", "bytes": [...], "nats": [...]}, sealed, in the run's directory.
DOCUMENTS = "documents.json"
DOCUMENTS_SCHEMA = 1


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
    """what the machine measured; and `flops_per_token`, a count: of training one token, attention at the positions that it may see"""
    split: dict[str, float]
    """the share of the training steps that went into each phase: data, forward, backward, optimizer, hooks, rest"""
    prices: dict[str, float]
    """the share that went into each hook's own calls, by its name"""
    digests: dict[str, str]
    diverged: dict[str, Any] | None
    """None, or the `step` that couldn't be taken and the `reason`"""
