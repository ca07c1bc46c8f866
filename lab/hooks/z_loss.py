"""Penalises the squared log of the softmax's normaliser, so that logits don't drift (PaLM, Chowdhery et al. 2022, section 5)."""

from __future__ import annotations

from torch import Tensor

from lab.train.hook import Outputs
from lab.train.state import TrainingState


class ZLoss:
    """Adds `weight * mean(logsumexp(logits) ** 2)`, in nats."""

    observes = False

    def __init__(self, *, weight: float) -> None:
        self.weight = weight

    def loss(self, state: TrainingState, outputs: Outputs) -> Tensor:
        normaliser_BT = outputs.logits_BTV.logsumexp(-1)
        return self.weight * normaliser_BT.square().mean()
