"""The character tokenizer: what it learns, what it refuses, and that other alphabets' characters come back."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.data.corpora import Document
from lab.data.prepare import PreparedData, prepare, tokenizer_identity
from lab.data.split import pieces
from lab.data.tokenfile import TokenFile
from lab.data.tokenizers import CannotEncode, Learns
from lab.data.tokenizers.ascii import Ascii
from lab.data.tokenizers.char import Char
from lab.errors import DataError

EVERY_WIDTH = "aß€🙂"


def fit(*texts: str) -> Char:
    return Char(None).fitted(text.encode() for text in texts)


def prepared(documents: list[Document], cache: Path, **other: Any) -> PreparedData:
    asked = {"validation_fraction": 0.25, "test_fraction": 0.125, "validation_bytes": None, "curve_bytes": 100, "tokenizer": Char(None)}
    return prepare(documents, cache=cache, **(asked | other))


def test_it_learns_the_characters_of_all_documents_in_order_of_their_codes() -> None:
    learned = fit("bca", "", "€a\n")
    assert learned.characters == "\nabc€"
    assert (learned.vocabulary, learned.mark) == (6, 5)
    assert learned.encode("cab€".encode()).tolist() == [3, 1, 2, 4]


def test_only_a_tokenizer_that_learns_is_fitted() -> None:
    assert isinstance(Char(None), Learns)
    assert not isinstance(Ascii(), Learns)


def test_given_characters_are_kept_whatever_the_text_has() -> None:
    assert Char("abc").fitted([b"xyz"]) == Char("abc")


def test_the_order_of_the_documents_does_not_matter() -> None:
    assert fit("ab", "€") == fit("€", "ba") == fit("€ba")


@pytest.mark.parametrize(
    "text", [EVERY_WIDTH, "", "\ufeffbyte order mark", "e\u0301 is not \u00e9", "one\r\ntwo\rthree\x00", "\U0010ffff\u0000\u07ff\u0800"]
)
def test_characters_of_each_width_come_back_to_the_byte(text: str) -> None:
    learned = fit(text, EVERY_WIDTH)
    tokens = learned.encode(text.encode())
    assert len(tokens) == len(text)
    assert learned.decode(tokens) == text.encode()
    assert learned.bytes_per_token()[tokens].sum() == len(text.encode())
    assert learned.mark not in tokens


def test_a_token_stands_for_as_many_bytes_as_its_character_has_in_utf8() -> None:
    assert fit(EVERY_WIDTH).bytes_per_token().tolist() == [1, 2, 3, 4, 0]
    borders = "\x7f\x80\u07ff\u0800\uffff\U00010000"
    assert fit(borders).bytes_per_token().tolist() == [1, 2, 2, 3, 3, 4, 0]


def test_a_mark_stands_for_no_character() -> None:
    learned = fit("hi")
    assert learned.decode([learned.mark, 0, 1, learned.mark]) == b"hi"
    assert learned.decode([]) == b""


@pytest.mark.parametrize(("characters", "dtype"), [(255, np.uint8), (256, np.uint16), (65_535, np.uint16)])
def test_the_type_is_the_smallest_that_holds_the_vocabulary(characters: int, dtype: type) -> None:
    learned = fit("".join(chr(0x10000 + code) for code in range(characters)))
    assert learned.vocabulary == characters + 1
    assert learned.encode("\U00010000".encode()).dtype == learned.dtype == dtype


def test_more_characters_than_a_token_file_can_number_are_refused() -> None:
    with pytest.raises(DataError, match=r"65536 different characters and a mark are more than 65536(.|\n)*data/tokenizer=bytes"):
        fit("".join(chr(0x10000 + code) for code in range(65_536)))


def test_an_unknown_character_is_refused_by_name_and_byte() -> None:
    with pytest.raises(CannotEncode, match=r"U\+20AC EURO SIGN '€' isn't among the 3 known characters") as refusal:
        fit("aßb").encode("ßa€b€".encode())
    assert refusal.value.offset == 3
    with pytest.raises(CannotEncode, match=r"U\+0007 without a name '\\x07'"):
        fit("a").encode(b"\x07")


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(CannotEncode, match="0xff, which isn't UTF-8") as refusal:
        fit("ab").encode(b"ab\xff")
    assert refusal.value.offset == 2
    with pytest.raises(DataError, match=r"the training text has 0xff(.|\n)*data/tokenizer=bytes"):
        Char(None).fitted([b"fine", b"\xff"])


@pytest.mark.parametrize("texts", [(), ("",), ("", "")])
def test_an_empty_training_text_is_named_as_such(texts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="the training text is empty: there are no characters to learn"):
        fit(*texts)


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("", "text is needed"),
        (12, "text is needed"),
        ("ba", "in order of their codes, each once. Write 'ab'"),
        ("aab", "Write 'ab'"),
        ("a\ud800", r"half a character \(place 1\)"),
    ],
)
def test_characters_that_are_no_alphabet_are_refused(characters: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Char(characters)


def test_the_prepared_tokenizer_knows_the_training_range_across_documents(mixed: list[Document], tmp_path: Path) -> None:
    documents = [*mixed, *(Document(f"again {each.name}", each.content) for each in mixed)]
    data = prepared(documents, tmp_path, validation_fraction=0.1, test_fraction=0.01)
    train = b"".join(piece.content for piece in pieces(documents, 0, data.split.train_end))
    validation = b"".join(piece.content for piece in pieces(documents, data.split.train_end, data.split.validation_end))
    assert data.tokenizer == Char("".join(sorted(set(train.decode()))))
    assert data.vocabulary == data.tokenizer.vocabulary
    for file, text in ((data.train, train), (data.validation, validation)):
        tokens = TokenFile.open(file.path)
        assert data.tokenizer.decode(tokens) == text
        assert data.tokenizer.bytes_per_token()[tokens].sum() == file.n_bytes == len(text)
    marks = int((TokenFile.open(data.train.path) == data.mark).sum())
    assert len(TokenFile.open(data.train.path)) == len(train.decode()) + marks


def test_a_character_of_validation_that_training_lacks_is_told_by_name_document_and_byte(tmp_path: Path) -> None:
    documents = [Document("seen.txt", b"abc\n" * 30), Document("new.txt", b"abc\n" * 5 + "ab€\n".encode() + b"abc\n" * 5)]
    with pytest.raises(DataError, match=r"Char can't take 'new\.txt': U\+20AC EURO SIGN .* \(byte 22\)(.|\n)*data/tokenizer=bytes"):
        prepared(documents, tmp_path)


def test_what_the_test_range_has_is_not_learned(tmp_path: Path) -> None:
    data = prepared([Document("text", b"ab\n" * 100 + "€\n".encode() * 2)], tmp_path)
    assert data.tokenizer == Char("\nab")


def test_the_prepared_files_of_two_alphabets_are_told_apart(tmp_path: Path) -> None:
    text = [Document("text", b"abc\n" * 100)]
    learned, given = prepared(text, tmp_path), prepared(text, tmp_path, tokenizer=Char("\nabcd"))
    assert learned.train.path != given.train.path
    assert learned.token_digest != given.token_digest
    assert prepared(text, tmp_path, tokenizer=Char("\nabc")) == learned
    assert tokenizer_identity(learned.tokenizer)["arguments"] == {"characters": "\nabc"}


def test_eleven_megabytes_take_a_few_seconds_at_most() -> None:
    text = ("The quick brown fox, über alles € 日本\n" * 300_000).encode()[:11_000_000].decode(errors="ignore").encode()
    start = time.process_time()
    learned = Char(None).fitted([text])
    tokens = learned.encode(text)
    spent = time.process_time() - start
    print(f"fitted and encoded {len(text) / 1e6:.1f} MB in {spent:.2f} s of CPU time", file=sys.stderr)
    assert len(tokens) == len(text.decode())
    assert spent < 5
