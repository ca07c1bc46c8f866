"""Scales the gradient down to a largest global norm (Pascanu et al. 2013)."""

from __future__ import annotations

import math

from lab.train.state import TrainingState


class GradClip:
    """Uses the norm that the loop has measured anyway, so it costs one pass over the gradients, and only when it clips.

    Speaks after the hooks that change gradients: what reaches the optimizer has at most this norm.
    """

    observes = False
    order = 10

    def __init__(self, *, max_norm: float) -> None:
        self.max_norm = max_norm

    def gradients(self, state: TrainingState) -> None:
        norm = state.norm_now()
        if self.max_norm < norm < math.inf:  # an infinite one stays: clipped to nothing, it would look like a step
            state.scale_gradients(self.max_norm / norm)
