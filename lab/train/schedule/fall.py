"""How far a fall of the rate has come. The shape of the fall is each schedule's own."""

from __future__ import annotations


def fallen(step: int, start: float, steps: int) -> float:
    """The share of a fall that begins at step `start` and ends with the last of `steps` updates: 0 before it, 1 at the last update."""
    if step >= steps - 1 > 0 and step >= start:  # also where the fall is one update long
        return 1.0
    return min(max((step - start) / max(steps - 1 - start, 1), 0.0), 1.0)
