"""Normal weights of one size, whatever a matrix does."""

from __future__ import annotations


class NormalInit:
    """Every matrix and table has the standard deviation `std`."""

    def __init__(self, *, std: float) -> None:
        self.std = std

    def scale(self, name: str, shape: tuple[int, ...], layers: int) -> float:
        return self.std
