"""What a tokenizer promises: text to tokens and back without loss, or a refusal. One file each; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lab.errors import DataError


class Tokenizer(Protocol):
    """The contract. A tokenizer is a frozen dataclass: its fields are its arguments, and with its class they are what it is."""

    @property
    def vocabulary(self) -> int:
        """Number of tokens V; a token is in [0, V)."""

    @property
    def mark(self) -> int:
        """The token that opens a document. Never comes out of a text."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 where 256 tokens are enough, else uint16."""

    def encode(self, text: bytes) -> npt.NDArray[Any]:
        """The tokens of a text, shape (T,), without a mark. Raises CannotEncode when it couldn't be decoded to the same bytes."""

    def decode(self, tokens: npt.ArrayLike) -> bytes:
        """The text of tokens of shape (T,); a mark stands for no byte."""

    def bytes_per_token(self) -> npt.NDArray[np.int64]:
        """How many bytes of text each token stands for, shape (V,); 0 for the mark."""


@runtime_checkable
class Learns(Protocol):
    """What a tokenizer has besides when its tokens are learned from the text.

    What was learned is in the arguments of the fitted one, so that it can be told from another, stored as plain values and
    built again without the text. The unfitted one only gets fitted: it has no vocabulary yet.
    """

    def fitted(self, text: Iterable[bytes]) -> Tokenizer:
        """The tokenizer of the training range, which is given document by document; the same text gives an equal one."""


class CannotEncode(DataError):
    """A text that a tokenizer can't hold without loss: why, and at which byte of the text."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"byte {offset}: {reason}")
        self.reason = reason
        self.offset = offset
