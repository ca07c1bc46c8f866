"""Trains towards targets that are not quite certain (Szegedy et al. 2016, section 7); the plain loss is what is logged and judged."""

from __future__ import annotations

from torch import Tensor

from lab.train.hook import Outputs
from lab.train.state import TrainingState


class LabelSmoothing:
    """Adds what turns cross-entropy C into `(1 - share) * C + share * U`, where U is that against uniform targets, in nats.

    The normaliser is in both and cancels: U - C is the target's logit less the mean logit.
    """

    observes = False

    def __init__(self, *, share: float) -> None:
        self.share = share

    def loss(self, state: TrainingState, outputs: Outputs) -> Tensor:
        target_BT = outputs.logits_BTV.gather(-1, outputs.targets_BT[..., None]).squeeze(-1)
        return self.share * (target_BT - outputs.logits_BTV.mean(-1)).mean()
