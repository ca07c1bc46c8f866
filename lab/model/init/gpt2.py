"""Normal weights of one size, smaller where a matrix writes to the residual stream (Radford et al. 2019, section 2.3)."""

from __future__ import annotations

WRITES_TO_STREAM = ("attention.output.weight", "mlp.down.weight")


class GPT2Init:
    """Two matrices per layer add to the stream, so each is scaled by 1/sqrt(2 * layers) to keep its variance."""

    def __init__(self, *, std: float) -> None:
        self.std = std

    def scale(self, name: str, shape: tuple[int, ...], layers: int) -> float:
        return self.std / (2 * layers) ** 0.5 if name.endswith(WRITES_TO_STREAM) else self.std
