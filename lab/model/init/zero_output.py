"""Normal weights, but zeros where a matrix writes to the residual stream, and in a head of its own.

Each block starts as the identity (Zhang et al. 2019, Fixup), and every token as likely as any other (Yang et al. 2021, appendix D.2).
"""

from __future__ import annotations

from lab.model.init.gpt2 import WRITES_TO_STREAM


class ZeroOutputInit:
    """The other matrices and the tables have the standard deviation `std`."""

    def __init__(self, *, std: float) -> None:
        self.std = std

    def scale(self, name: str, shape: tuple[int, ...], layers: int) -> float:
        return 0.0 if name == "head.weight" or name.endswith(WRITES_TO_STREAM) else self.std
