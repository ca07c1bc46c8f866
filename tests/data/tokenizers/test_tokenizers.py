"""Tokenizers: the contract, held by each of them."""

from __future__ import annotations

import numpy as np
import pytest

from lab.data.tokenizers import CannotEncode, Tokenizer
from lab.data.tokenizers.ascii import Ascii
from lab.data.tokenizers.bytes import Bytes

EACH = pytest.mark.parametrize("tokenizer", [Ascii(), Bytes()], ids=lambda each: type(each).__name__)


def texts(tokenizer: Tokenizer) -> list[bytes]:
    """Random texts that it takes: any bytes, or 1 to 127 for ASCII."""
    random = np.random.default_rng(0)
    low, high = (1, 128) if isinstance(tokenizer, Ascii) else (0, 256)
    return [b"", *(random.integers(low, high, size, dtype=np.uint8).tobytes() for size in range(1, 200))]


@EACH
def test_every_text_comes_back_to_the_byte(tokenizer: Tokenizer) -> None:
    for text in texts(tokenizer):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@EACH
def test_the_tokens_of_a_text_stand_for_all_of_its_bytes(tokenizer: Tokenizer) -> None:
    length_V = tokenizer.bytes_per_token()
    assert length_V.shape == (tokenizer.vocabulary,)
    assert length_V.dtype == np.int64
    assert length_V[tokenizer.mark] == 0
    for text in texts(tokenizer):
        tokens = tokenizer.encode(text)
        assert tokens.dtype == tokenizer.dtype
        assert length_V[tokens].sum() == len(text)
        assert tokenizer.mark not in tokens


@EACH
def test_the_type_is_the_smallest_that_holds_the_vocabulary(tokenizer: Tokenizer) -> None:
    assert tokenizer.dtype == (np.uint8 if tokenizer.vocabulary <= 256 else np.uint16)


@EACH
def test_a_mark_stands_for_no_byte(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([tokenizer.mark, 104, 105, tokenizer.mark]) == b"hi"
    assert tokenizer.decode([]) == b""


@pytest.mark.parametrize(("text", "offset"), [(b"ab\x00c", 2), ("né".encode(), 1), (b"\x80", 0), (b"a" * 999 + b"\xff\x00", 999)])
def test_ascii_refuses_other_text_with_the_byte(text: bytes, offset: int) -> None:
    with pytest.raises(CannotEncode, match=f"byte {offset}: 0x{text[offset]:02x}") as refusal:
        Ascii().encode(text)
    assert refusal.value.offset == offset
