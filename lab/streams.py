"""Where every random number of a run comes from: a stream for each purpose and name, derived from the one seed.

Refuses the global generator: nothing here or above draws from it. Two runs share a draw exactly when they share its key, so
that one change changes only the draws that it must. Draws are made on the CPU, since devices' generators differ.

Purposes: "init" (by parameter and row), "data" (by epoch), "dropout" (by site, step, micro-batch and call), "sampling" (by step).
"""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor

# torch draws normals in groups of 16: only at sizes that are multiples of 16 is a short draw the beginning of a long one.
GROUP = 16


def key(seed: int, purpose: str, *names: str | int) -> int:
    """A stream's key: 63 bits of the SHA-256 of what it is for, the same on every machine.

    torch's CPU engine takes the lower 32 of them. That two of a run's few thousand streams coincide by chance is possible
    and harmless.
    """
    text = json.dumps([seed, purpose, *names], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(key: int) -> torch.Generator:
    """A CPU generator at the beginning of a key's stream."""
    return torch.Generator().manual_seed(key)


def unit_rows(seed: int, name: str, rows: int, columns: int) -> Tensor:
    """Standard normal draws for the matrix `name`, float32, `rows` x `columns`.

    Each row has a key of its own and is drawn with its columns rounded up to a multiple of 16, then cut: a wider or taller
    matrix of this name has the same numbers wherever both have one.
    """
    drawn = torch.empty(rows, -(-columns // GROUP) * GROUP)
    stream = torch.Generator()
    for row in range(rows):
        stream.manual_seed(key(seed, "init", name, row))
        drawn[row].normal_(generator=stream)
    return drawn[:, :columns].contiguous()
