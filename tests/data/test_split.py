"""The split: where cuts fall, that nothing is lost, what the fingerprint sees."""

from __future__ import annotations

import itertools

import pytest

from lab.data.corpora import Document
from lab.data.split import LINE_REACH, Split, fingerprint, head, n_bytes, pieces, split_documents
from lab.errors import DataError

SHARES = list(itertools.product((0.01, 0.1, 0.3, 0.5), (0.0, 0.05, 0.2)))


def joined(documents: list[Document]) -> bytes:
    return b"".join(document.content for document in documents)


@pytest.mark.parametrize(("validation", "test"), SHARES)
def test_the_ranges_joined_are_the_corpus(mixed: list[Document], validation: float, test: float) -> None:
    split = split_documents(mixed, validation, test)
    cuts = [0, split.train_end, split.validation_end, split.total]
    ranges = [pieces(mixed, low, high) for low, high in itertools.pairwise(cuts)]
    assert b"".join(piece.content for text in ranges for piece in text) == joined(mixed)
    assert [n_bytes(text) for text in ranges] == [high - low for low, high in itertools.pairwise(cuts)]
    for piece in itertools.chain(*ranges):
        whole = next(document.content for document in mixed if document.name == piece.name)
        assert whole[piece.start : piece.start + len(piece.content)] == piece.content != b""
        piece.content.decode()


@pytest.mark.parametrize(("validation", "test"), SHARES)
def test_a_cut_in_a_document_of_lines_falls_on_a_line_end(plain: list[Document], validation: float, test: float) -> None:
    split = split_documents(plain, validation, test)
    text = joined(plain)
    ends = set(itertools.accumulate(len(document.content) for document in plain))
    for cut in (split.train_end, split.validation_end):
        assert cut in ends or text[cut - 1 : cut] == b"\n"


def test_a_cut_moves_forward_by_less_than_a_line() -> None:
    documents = [Document("a", b"123456789\n" * 100)]
    assert split_documents(documents, 0.105, 0.105) == Split(790, 900, 1000)


def test_a_cut_that_falls_on_a_line_end_or_between_documents_stays() -> None:
    assert split_documents([Document("a", b"123456789\n" * 100)], 0.1, 0.1) == Split(800, 900, 1000)
    assert split_documents([Document(name, b"1234567890") for name in "abcdefghij"], 0.1, 0.1) == Split(80, 90, 100)


@pytest.mark.parametrize("content", [b"x" * 20_000, "€".encode() * 7_000])
def test_without_a_line_end_in_reach_a_cut_falls_on_the_next_character(content: bytes) -> None:
    split = split_documents([Document("a", content)], 0.2, 0.1)
    for cut, share in ((split.train_end, 0.7), (split.validation_end, 0.9)):
        assert 0 <= cut - int(len(content) * share) < 4
        content[:cut].decode()


@pytest.mark.parametrize(("distance", "moves"), [(LINE_REACH, True), (LINE_REACH + 1, False)])
def test_a_line_end_is_looked_for_within_its_reach(distance: int, moves: bool) -> None:
    content = b"x" * (10_000 + distance - 1) + b"\n"
    content += b"y" * (20_000 - len(content))
    split = split_documents([Document("a", content)], 0.5, 0.0)
    assert split.train_end == (10_000 + distance if moves else 10_000)


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.1), (0.5, 0.5), (-0.1, 0.1), (0.1, -0.1)])
def test_shares_that_leave_nothing_are_refused(plain: list[Document], validation: float, test: float) -> None:
    with pytest.raises(DataError, match=f"validation_fraction is {validation} and data.test_fraction {test}"):
        split_documents(plain, validation, test)


@pytest.mark.parametrize(("content", "name"), [(b"one line\n", "validation"), (b"", "training"), (b"a\n" * 10 + b"a last line\n", "test")])
def test_a_corpus_too_short_for_three_ranges_is_refused_with_the_numbers(content: bytes, name: str) -> None:
    with pytest.raises(DataError, match=rf"the {name} range is empty: 1 document\(s\) with {len(content)} bytes"):
        split_documents([Document("a", content)], 0.3, 0.1)


@pytest.mark.parametrize("size", [1, 7, 100, 599, 600, 601, 1199])
def test_a_head_is_the_first_bytes_and_whole_characters(mixed: list[Document], size: int) -> None:
    whole = pieces(mixed, 0, n_bytes(pieces(mixed, 0, 10**9)))
    taken = head(whole, size)
    assert 0 <= n_bytes(taken) - size < 4
    assert joined(mixed).startswith(b"".join(piece.content for piece in taken))
    for piece in taken:
        piece.content.decode()


def test_a_head_longer_than_the_range_is_all_of_it(mixed: list[Document]) -> None:
    whole = pieces(mixed, 0, 10**9)
    assert head(whole, 10**9) == whole


def of(documents: list[Document], split: Split) -> str:
    train = pieces(documents, 0, split.train_end)
    return fingerprint(train, pieces(documents, split.train_end, split.validation_end), split)


def test_the_fingerprint_is_of_the_text_and_not_of_names() -> None:
    split = Split(20, 30, 40)
    text = [Document("a", b"0123456789" * 4)]
    print("golden: another fingerprint here splits every user's cohorts")
    assert of(text, split) == of([Document("other", text[0].content)], split)
    assert of(text, split) == "a4516d29879b91e0bcfaf8ee26bc556706038583a4e1b28c0f9ef9327a6e9634"


@pytest.mark.parametrize("position", [0, 19, 20, 29])
def test_a_byte_of_train_or_validation_changes_the_fingerprint(position: int) -> None:
    split, text = Split(20, 30, 40), bytearray(b"0123456789" * 4)
    before = of([Document("a", bytes(text))], split)
    text[position] ^= 1
    assert of([Document("a", bytes(text))], split) != before


@pytest.mark.parametrize("position", [30, 39])
def test_nothing_reads_the_test_range(position: int) -> None:
    split, text = Split(20, 30, 40), bytearray(b"0123456789" * 4)
    before = of([Document("a", bytes(text))], split)
    text[position] ^= 1
    assert of([Document("a", bytes(text))], split) == before


def test_cuts_and_borders_of_documents_change_the_fingerprint() -> None:
    text = b"0123456789" * 4
    prints = [
        of([Document("a", text)], Split(20, 30, 40)),
        of([Document("a", text)], Split(21, 30, 40)),
        of([Document("a", text)], Split(20, 31, 40)),
        of([Document("a", text[:5]), Document("b", text[5:])], Split(20, 30, 40)),
        of([Document("a", text[:6]), Document("b", text[6:])], Split(20, 30, 40)),
        of([Document("a", text + b"!")], Split(20, 30, 41)),
    ]
    assert len(set(prints)) == len(prints)
