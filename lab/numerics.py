"""The arithmetic of the measures, written once. Plain floats: no torch, no files."""

from __future__ import annotations

import math


def bits_per_byte(nats: float, text_bytes: int) -> float:
    """What a text cost to predict, in bits for each of its bytes.

    `nats` is summed over all its tokens. Unlike nats per token, this can be compared between tokenizers.
    """
    return nats / (math.log(2) * text_bytes)


def perplexity(nats_per_token: float) -> float:
    """The number of equally likely tokens that would be as hard to guess; infinity where it exceeds a float."""
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf


def finite_or_none(value: float) -> float | None:
    """The value, or None where it is no number that JSON can hold."""
    return value if math.isfinite(value) else None
