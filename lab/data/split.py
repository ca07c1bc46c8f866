"""Which bytes of a corpus are for training, which for validation, which for the test; and the fingerprint of the first two.

Works on bytes, before any tokenizer, so that every tokenizer is judged on the same text. The test range is only a pair of
positions here: its text is neither read, nor hashed, nor copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

from lab.data.corpora import Document
from lab.errors import DataError
from lab.files import sha256_of

# how far a cut looks ahead for the end of a line, in bytes
LINE_REACH = 4096


@dataclass(frozen=True)
class Split:
    """Positions in the joined documents, in bytes: train [0, train_end), validation up to validation_end, test up to total."""

    train_end: int
    validation_end: int
    total: int


@dataclass(frozen=True)
class Piece:
    """A document, or the part of one that lies in a range: its name, the byte where the part starts in it, the bytes."""

    name: str
    start: int
    content: bytes


def split_documents(documents: Sequence[Document], validation_fraction: float, test_fraction: float) -> Split:
    """Cut the documents, in their order, by shares of their bytes.

    A cut moves forward to the next line end in its document; when none is within LINE_REACH bytes, to the next UTF-8
    character. Raises DataError when the shares don't leave a range for each part that was asked for.
    """
    # as written, not as stored in binary: 1 - 0.1 - 0.05 is 0.85
    validation, test = Fraction(str(validation_fraction)), Fraction(str(test_fraction))
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise DataError(
            f"data.validation_fraction is {validation_fraction} and data.test_fraction {test_fraction}; "
            "the first must be above 0, the second at least 0, and together they must leave something to train on (below 1)."
        )
    total = sum(len(document.content) for document in documents)
    train_end = _settle(documents, int(total * (1 - validation - test)))
    split = Split(train_end, max(train_end, _settle(documents, int(total * (1 - test)))), total)
    sizes = {
        "training": split.train_end,
        "validation": split.validation_end - split.train_end,
        "test": total - split.validation_end if test else 1,
    }
    empty = [name for name, size in sizes.items() if size == 0]
    if empty:
        raise DataError(
            f"the {empty[0]} range is empty: {len(documents)} document(s) with {total} bytes, cut after bytes {split.train_end} "
            f"and {split.validation_end} (the shares are {validation_fraction} for validation and {test_fraction} for the test; "
            "a cut falls on a line end).\nGive a longer text, or larger shares."
        )
    return split


def pieces(documents: Sequence[Document], start: int, end: int) -> list[Piece]:
    """The text in [start, end) of the joined documents; a document without text there gives no piece."""
    found, first = [], 0
    for document in documents:
        low, high = max(start - first, 0), min(end - first, len(document.content))
        if low < high:
            found.append(Piece(document.name, low, document.content[low:high]))
        first += len(document.content)
    return found


def head(text: Sequence[Piece], size: int) -> list[Piece]:
    """The first `size` bytes of a range, and up to three more to complete a UTF-8 character; all of it when it's shorter."""
    taken: list[Piece] = []
    for piece in text:
        if size <= 0:
            break
        end = _character_boundary(piece.content, size)
        taken.append(Piece(piece.name, piece.start, piece.content[:end]))
        size -= end
    return taken


def n_bytes(text: Sequence[Piece]) -> int:
    """Bytes of text in a range."""
    return sum(len(piece.content) for piece in text)


def fingerprint(train: Sequence[Piece], validation: Sequence[Piece], split: Split) -> str:
    """The text fingerprint, 64 hex digits: the bytes of both ranges, where their documents begin, and the cuts."""
    return sha256_of({"train": _digest(train), "validation": _digest(validation), "split": asdict(split)})


def _digest(text: Sequence[Piece]) -> str:
    digest = hashlib.sha256()
    for piece in text:
        digest.update(len(piece.content).to_bytes(8, "little"))
        digest.update(piece.content)
    return digest.hexdigest()


def _settle(documents: Sequence[Document], position: int) -> int:
    """Where a cut at `position` of the joined documents falls."""
    first = 0
    for document in documents:
        if position < first + len(document.content):
            return first + _line_end(document.content, position - first)
        first += len(document.content)
    return first


def _line_end(content: bytes, position: int) -> int:
    """The first end of a line at or after `position`, else the first character boundary; a document's start is one already."""
    if position == 0:
        return 0
    newline = content.find(b"\n", position - 1, position + LINE_REACH)
    return newline + 1 if newline >= 0 else _character_boundary(content, position)


def _character_boundary(content: bytes, position: int) -> int:
    """The first position at or after `position` where a UTF-8 character starts, or the end."""
    position = min(position, len(content))
    while position < len(content) and content[position] & 0xC0 == 0x80:
        position += 1
    return position
