"""Begins with short sequences and lengthens them (Li et al. 2021). Refuses to drop a token: windows are cut, not shortened."""

from __future__ import annotations

from lab.train.state import TrainingState

# B batch  T position


class LengthWarmup:
    """Cuts each window of T tokens into T / t pieces, `[B, T] -> [B * T / t, t]`, side by side in the batch.

    So every step has the same tokens, each once, and the budget stays equal. (The paper cuts windows off, and its early steps
    have fewer tokens.) The ramp grows from `start` to T over the first `share` of the steps; t is the longest divisor of T on
    or below it, but never below `start`.
    """

    observes = False

    def __init__(self, *, start: int, share: float) -> None:
        self.start = start
        self.share = share

    def batch(self, state: TrainingState) -> None:
        assert state.inputs_BT is not None and state.targets_BT is not None
        length = self.length(state.inputs_BT.shape[1], state.step, state.steps)
        state.inputs_BT, state.targets_BT = state.inputs_BT.reshape(-1, length), state.targets_BT.reshape(-1, length)

    def length(self, whole: int, step: int, steps: int) -> int:
        """t in update `step` (from 0) of `steps`, for windows of `whole` tokens."""
        grown = min(1.0, step / (self.share * steps)) if self.share > 0 else 1.0
        ramp = self.start + grown * (whole - self.start)
        divisors = [each for each in range(min(self.start, whole), whole + 1) if whole % each == 0]
        return max((each for each in divisors if each <= ramp), default=divisors[0])
