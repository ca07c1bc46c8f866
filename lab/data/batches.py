"""Which tokens a step sees. Any step's batch is computed from its number alone, so that a resume needs no state.

A training sample is a window of the token file. Epoch e has a phase and a permutation of its own, both from one key, so that
the windows' borders move from epoch to epoch. Samples have one global order, cut into batches: another batch size sees the
same samples in the same order. Draws from no generator; keys are an argument.

Legend: B batch  T position
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.errors import DataError

WORD = (1 << 64) - 1
ROUNDS = 8

# samples whose places are computed together: numpy's calls on a dozen numbers cost as much as on a thousand
CHUNK = 1024


def permute(index: npt.NDArray[np.int64], count: int, key: int) -> npt.NDArray[np.int64]:
    """Where a keyed permutation of range(count) sends each index; the cost of one doesn't grow with `count`.

    A balanced Feistel network (Luby and Rackoff 1988) over the next even power of two; what falls outside range(count) is
    sent on until it falls inside (cycle walking, Black and Rogaway 2002): under four times in the mean. Integers only.
    `index` has any shape and lies in [0, count); `key` is any integer, of which 64 bits count.
    """
    assert index.size == 0 or (int(index.min()) >= 0 and int(index.max()) < count), "index outside the permutation"
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    keys = [_mix_int(key + (each + 1) * 0x9E3779B97F4A7C15) for each in range(ROUNDS)]
    value = _feistel(index.astype(np.uint64).reshape(-1), half, keys)
    while (outside := value >= np.uint64(count)).any():
        value[outside] = _feistel(value[outside], half, keys)
    return value.astype(np.int64).reshape(index.shape)


def _feistel(value: npt.NDArray[np.uint64], half: int, keys: list[int]) -> npt.NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = value >> shift, value & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ np.uint64(key)) & mask)
    return (left << shift) | right


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finish of splitmix64 (Steele, Lea and Flood 2014), modulo 2**64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _mix_int(value: int) -> int:
    """`_mix` of one Python integer of any size."""
    return int(_mix(np.array([value & WORD], dtype=np.uint64))[0])


class Batches:
    """The training batches of a token file.

    tokens      shape (tokens of the file,), any integer dtype; a memory map is read where a batch needs it
    context     T, tokens of a window
    batch_size  B, windows of a step
    key         an epoch's number to its key
    """

    def __init__(self, tokens: npt.NDArray[Any], context: int, batch_size: int, key: Callable[[int], int]) -> None:
        # one window fewer than would fit, so that every phase in [0, context) leaves the same number
        self.per_epoch = len(tokens) // context - 1
        if self.per_epoch < 1:
            raise DataError(
                f"the training range has {len(tokens)} tokens; windows of model.context={context} need at least {2 * context}.\n"
                "Give a longer text, or a shorter context."
            )
        # row i is the window that starts at token i; a view, nothing is copied
        self._windows = np.lib.stride_tricks.sliding_window_view(np.asarray(tokens), context + 1)
        self._context = context
        self._batch_size = batch_size
        self._key = key
        self._chunk: tuple[int, npt.NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step (from 0), both int64 of shape (B, T)."""
        return self.samples(step * self._batch_size, self._batch_size)

    def samples(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of `count` samples from number `first` on, both int64 of shape (count, T); a target is the next token."""
        window_BT = self._windows[self.offsets(first, count)]
        inputs_BT, targets_BT = (window.astype(np.int64, order="C") for window in (window_BT[:, :-1], window_BT[:, 1:]))
        return torch.from_numpy(inputs_BT), torch.from_numpy(targets_BT)

    def offsets(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """Where each sample's window starts in the token file, shape (count,); not to be written to."""
        if count >= 4 * CHUNK:  # a long stretch, as a certificate of pairing reads it: at once, and the kept chunk stays
            return self._compute(first, count)
        parts, end = [], first + count
        for number in range(first // CHUNK, max(first, end - 1) // CHUNK + 1):
            start = number * CHUNK
            parts.append(self._offsets_of_chunk(number)[max(first - start, 0) : end - start])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _offsets_of_chunk(self, number: int) -> npt.NDArray[np.int64]:
        """The offsets of samples from `number * CHUNK` on. The last chunk is kept, since steps mostly come in order."""
        if self._chunk[0] != number:
            offset_B = self._compute(number * CHUNK, CHUNK)
            offset_B.flags.writeable = False
            self._chunk = (number, offset_B)
        return self._chunk[1]

    def _compute(self, first: int, count: int) -> npt.NDArray[np.int64]:
        epoch_B, place_B = np.divmod(np.arange(first, first + count, dtype=np.int64), self.per_epoch)
        offset_B = np.empty_like(place_B)
        for epoch in np.unique(epoch_B).tolist():
            key, here = self._key(epoch), epoch_B == epoch
            phase = _mix_int(key) % self._context
            offset_B[here] = phase + self._context * permute(place_B[here], self.per_epoch, key)
        return offset_B


def blocks(tokens: npt.NDArray[Any], block: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets for an evaluation, int64, consecutive and without overlap: every token but the first is a target once.

    Each pair has shape (at most `batch`, block); what is left at the end comes last at its own length, shape (1, below block),
    so that no padding enters and another `batch` changes nothing but the grouping.
    """
    whole = (len(tokens) - 1) // block
    for first in range(0, whole, batch):
        rows = min(batch, whole - first)
        text = torch.from_numpy(np.asarray(tokens[first * block : (first + rows) * block + 1]).astype(np.int64))
        yield text[:-1].view(rows, block), text[1:].view(rows, block)
    if len(tokens) - 1 > whole * block:
        rest = torch.from_numpy(np.asarray(tokens[whole * block :]).astype(np.int64))
        yield rest[None, :-1], rest[None, 1:]
