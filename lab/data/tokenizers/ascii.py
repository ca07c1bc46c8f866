"""One token per ASCII character. Refuses any other text, and NUL, whose number is the document mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lab.data.tokenizers import CannotEncode


@dataclass(frozen=True)
class Ascii:
    """128 tokens: a character's code, and 0 for the mark."""

    vocabulary: ClassVar[int] = 128
    mark: ClassVar[int] = 0
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.uint8)

    def encode(self, text: bytes) -> npt.NDArray[np.uint8]:
        """One token per byte. Raises CannotEncode at the first byte that is NUL or above 127."""
        tokens_T = np.frombuffer(text, dtype=np.uint8)
        foreign = (tokens_T == self.mark) | (tokens_T >= self.vocabulary)
        if foreign.any():
            offset = int(foreign.argmax())
            raise CannotEncode(f"0x{text[offset]:02x} isn't an ASCII character from 1 to 127", offset)
        return tokens_T

    def decode(self, tokens: npt.ArrayLike) -> bytes:
        """The characters, without the marks."""
        tokens_T = np.asarray(tokens)
        assert ((tokens_T >= 0) & (tokens_T < self.vocabulary)).all(), "token outside the vocabulary"
        return bytes(tokens_T[tokens_T != self.mark].astype(np.uint8))

    def bytes_per_token(self) -> npt.NDArray[np.int64]:
        """1 for each character, 0 for the mark; shape (128,)."""
        length_V = np.ones(self.vocabulary, dtype=np.int64)
        length_V[self.mark] = 0
        return length_V
