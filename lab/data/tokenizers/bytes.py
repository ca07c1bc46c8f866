"""One token per byte. Takes any text, so it refuses none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Bytes:
    """257 tokens: a byte's value, and 256 for the mark."""

    vocabulary: ClassVar[int] = 257
    mark: ClassVar[int] = 256
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint16)

    def encode(self, text: bytes) -> npt.NDArray[np.uint16]:
        """One token per byte."""
        return np.frombuffer(text, dtype=np.uint8).astype(np.uint16)

    def decode(self, tokens: npt.ArrayLike) -> bytes:
        """The bytes, without the marks. What a model made up need not be UTF-8."""
        tokens_T = np.asarray(tokens)
        assert ((tokens_T >= 0) & (tokens_T < self.vocabulary)).all(), "token outside the vocabulary"
        return bytes(tokens_T[tokens_T != self.mark].astype(np.uint8))

    def bytes_per_token(self) -> npt.NDArray[np.int64]:
        """1 for each byte, 0 for the mark; shape (257,)."""
        length_V = np.ones(self.vocabulary, dtype=np.int64)
        length_V[self.mark] = 0
        return length_V
