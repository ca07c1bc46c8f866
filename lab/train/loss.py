"""What training lowers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# B batch  T position  V vocabulary


def cross_entropy(logits_BTV: Tensor, targets_BT: Tensor, reduction: str = "mean") -> Tensor:
    """Nats per token, mean over the tokens (or `none`: of each, shape (B * T,)). Give fp32 logits: bf16 would cost digits."""
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction=reduction)
