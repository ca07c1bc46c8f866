"""First weights whose size follows the width, as in maximal update parametrisation (Yang et al. 2021, table 3).

Only its initial scales: there, Adam's learning rate of the hidden matrices and the head also falls with 1/width (trainer.rate),
scores are divided by the head width instead of its root, and a tied head has a multiplier of 1/width.
"""

from __future__ import annotations

TABLES = ("embedding.weight", "position.weight")


class MupInit:
    """Hidden matrices: `gain / sqrt(fan_in)`. Tables: `table_std`, at any width. A head of its own: `1 / fan_in`."""

    def __init__(self, *, gain: float, table_std: float) -> None:
        self.gain = gain
        self.table_std = table_std

    def scale(self, name: str, shape: tuple[int, ...], layers: int) -> float:
        if name in TABLES:
            return self.table_std
        return 1 / shape[1] if name == "head.weight" else self.gain / shape[1] ** 0.5
