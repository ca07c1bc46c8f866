"""One token per Unicode character, of those that the training text has. Refuses a text with any other, and what isn't UTF-8."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.data.tokenizers import CannotEncode
from lab.errors import DataError

UNICODE = 0x110000
# a code from each of these on takes one byte more in UTF-8
WIDTHS = (0x80, 0x800, 0x10000)
LARGEST = 1 << 16


@dataclass(frozen=True)
class Char:
    """A character's place in `characters`, and the place behind the last for the mark.

    characters   in order of their codes, each once; None: learned from the training text by `fitted`

    A character is a Unicode code point: an accent that is written apart is one of its own. Raises DataError when `characters`
    is no such text.
    """

    characters: str | None

    def __post_init__(self) -> None:
        if self.characters is None:
            return
        if not isinstance(self.characters, str) or not self.characters:
            raise DataError(
                f"the tokenizer's characters are {self.characters!r}: text is needed. Quote it, or null: those of the training text."
            )
        try:
            self.characters.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"the tokenizer's characters hold half a character (place {error.start}): no UTF-8 text has it. Take it out."
            ) from None
        ordered = "".join(sorted(set(self.characters)))
        if ordered != self.characters:
            # one spelling for one alphabet: another order would be another tokenizer, and a change that changes nothing
            raise DataError(f"the tokenizer's characters must be in order of their codes, each once. Write {ordered!r}.")
        if len(ordered) + 1 > LARGEST:
            raise DataError(f"{len(ordered)} different characters and a mark are more than {LARGEST} tokens. Use `data/tokenizer=bytes`.")

    def fitted(self, text: Iterable[bytes]) -> Char:
        """The tokenizer of a text's characters; itself where they are given. Raises DataError when the text is empty or isn't UTF-8."""
        if self.characters is not None:
            return self
        seen_C = np.zeros(UNICODE, dtype=bool)
        for part in text:
            try:
                seen_C[_codes(part)] = True
            except CannotEncode as error:
                raise DataError(f"the training text has {error.reason}. Use `data/tokenizer=bytes`.") from None
        if not seen_C.any():
            raise DataError("the training text is empty: there are no characters to learn. Give a longer text, or name them.")
        return Char(_text(np.flatnonzero(seen_C)))

    @property
    def vocabulary(self) -> int:
        return len(self._codes_V) + 1

    @property
    def mark(self) -> int:
        return len(self._codes_V)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.vocabulary <= 256 else np.uint16)

    def encode(self, text: bytes) -> npt.NDArray[Any]:
        """One token per character. Raises CannotEncode at the first that isn't known, by its name, or isn't UTF-8."""
        codes_T = _codes(text)
        tokens_T: npt.NDArray[Any] = self._tokens_C[codes_T]
        foreign = tokens_T == self.mark
        if foreign.any():
            place = int(foreign.argmax())
            raise CannotEncode(
                f"{_named(codes_T[place])} isn't among the {self.mark} known characters", len(_text(codes_T[:place]).encode())
            )
        return tokens_T

    def decode(self, tokens: npt.ArrayLike) -> bytes:
        """The characters in UTF-8, without the marks."""
        tokens_T = np.asarray(tokens, dtype=np.int64)
        assert ((tokens_T >= 0) & (tokens_T < self.vocabulary)).all(), "token outside the vocabulary"
        return _text(self._codes_V[tokens_T[tokens_T != self.mark]]).encode()

    def bytes_per_token(self) -> npt.NDArray[np.int64]:
        """1 to 4 for a character, its length in UTF-8, 0 for the mark; shape (V,)."""
        length_V = np.zeros(self.vocabulary, dtype=np.int64)
        length_V[: self.mark] = 1 + sum((self._codes_V >= width).astype(np.int64) for width in WIDTHS)
        return length_V

    @cached_property
    def _codes_V(self) -> npt.NDArray[np.uint32]:
        """Each token's character as its code, without the mark."""
        assert self.characters is not None, "fit it first: its characters are those of the training text"
        return _codes(self.characters.encode())

    @cached_property
    def _tokens_C(self) -> npt.NDArray[Any]:
        """Each code's token, and the mark, which comes out of no text, for a code without one; shape (UNICODE,)."""
        tokens_C = np.full(UNICODE, self.mark, dtype=self.dtype)
        tokens_C[self._codes_V] = np.arange(self.mark, dtype=self.dtype)
        return tokens_C


def _codes(text: bytes) -> npt.NDArray[np.uint32]:
    """The codes of a UTF-8 text's characters, shape (T,)."""
    try:
        return np.frombuffer(text.decode().encode("utf-32-le"), dtype="<u4")
    except UnicodeDecodeError as error:
        raise CannotEncode(f"0x{text[error.start]:02x}, which isn't UTF-8 ({error.reason})", error.start) from None


def _text(codes_T: npt.NDArray[Any]) -> str:
    return codes_T.astype("<u4").tobytes().decode("utf-32-le")


def _named(code: int) -> str:
    """`U+20AC EURO SIGN '€'`."""
    character = chr(code)
    return f"U+{code:04X} {unicodedata.name(character, 'without a name')} {character!r}"
