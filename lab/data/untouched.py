"""The test range of a corpus, read and tokenized in memory: for what is judged once, after everything was chosen. Imports no torch.

No run imports this: what trains and what is compared every day sees the training and the validation range only. Nothing is cached,
so that no copy of the range lies about. That it was read is told by who reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from lab.data.corpora import Document
from lab.data.prepare import encode
from lab.data.split import Split, head, n_bytes, pieces
from lab.data.tokenizers import Tokenizer
from lab.errors import DataError


@dataclass(frozen=True)
class Untouched:
    """Tokens of shape (T,), as a token file holds them (mark, text, mark, text, ...), and the bytes of text that they stand for."""

    tokens_T: npt.NDArray[Any]
    n_bytes: int


def size(split: Split) -> int:
    """Bytes of the test range, 0 without one. Told by the cuts alone: the range isn't read."""
    return split.total - split.validation_end


def untouched(documents: Sequence[Document], split: Split, limit: int | None, tokenizer: Tokenizer) -> Untouched:
    """The test range of documents that were split so, at most its first `limit` bytes; `tokenizer` is the fitted one of the training.

    Raises DataError where there is none, and where the tokenizer refuses it.
    """
    if size(split) == 0:
        raise DataError(
            "this corpus has no test range: data.test_fraction is 0\n"
            "pin a baseline that keeps one: python -m lab pin NAME data.test_fraction=0.05"
        )
    text = pieces(documents, split.validation_end, split.total)
    taken = text if limit is None else head(text, limit)
    return Untouched(encode(taken, tokenizer), n_bytes(taken))
