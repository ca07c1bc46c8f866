"""The learning rate's share of its peak at each step. One file per schedule; this one holds the contract.

Everything is a share of the budget, not a number of steps: another batch size has the same shape.
"""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """The contract."""

    def rate(self, step: int, steps: int) -> float:
        """The share of the peak in the update from `step` to `step + 1`, of `steps` in all."""
        ...
