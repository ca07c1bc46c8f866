"""Moves every initial weight by its last bits: an arm that differs from the baseline in nothing that could matter (A/A test).

What training makes of such a difference is the noise that a change of the arithmetic alone would bring.
"""

from __future__ import annotations

import torch

from lab import streams
from lab.train.state import TrainingState


class Nudge:
    """Each weight w becomes `w * (1 + size)` or `w * (1 - size)`, by a draw, before the first forward pass.

    Relative, since a float32 keeps 24 bits whatever its size: one absolute nudge would be lost on a norm's weight near 1 and
    large beside a matrix's 0.02. Computed in float64 and rounded once: half a unit in the last place is at most 6.0e-8 of a
    weight, so from that size on every weight but 0 moves. A normal draw's small values would be rounded away.

    Another `draw` has other signs: several null arms beside one baseline differ in it.
    """

    observes = False

    def __init__(self, *, size: float, draw: int) -> None:
        self.size, self.draw = size, draw

    def batch(self, state: TrainingState) -> None:
        if state.step > 0:
            return
        for name, parameter in state.model.named_parameters():
            stream = streams.generator(streams.key(state.seed, "hooks", "nudge", self.draw, name))
            signs = torch.randint(0, 2, parameter.shape, generator=stream).double() * 2 - 1
            with torch.no_grad():  # on the CPU, since not every device has float64
                parameter.copy_((parameter.cpu().double() * (1 + self.size * signs)).to(parameter.dtype))
