"""The made-up language: its entropy by hand and by its text, and that it is the same language everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise
from math import inf, log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.data.grammar import Language, grammar, language
from lab.data.tokenizers.ascii import Ascii
from lab.errors import DataError

SMALL: dict[str, int] = {"words": 64, "successors": 4, "shortest": 2, "longest": 7}

OPTION = Path(__file__).parents[2] / "conf" / "data" / "grammar.yaml"
GOLDEN = b"lig budo rugahih vah ze kamakud za budo "

# after any word `a ` in two of three cases, else `bcd\n`
TWO = Language((b"a ", b"bcd\n"), ((0, 1), (0, 1)), (2, 1))


def test_two_words_by_hand() -> None:
    assert TWO.frequency_W == pytest.approx([2 / 3, 1 / 3])
    assert TWO.bytes_per_word == pytest.approx(2 / 3 * 2 + 1 / 3 * 4)
    per_word = 2 / 3 * log2(3 / 2) + 1 / 3 * log2(3)
    assert TWO.bits_per_byte == pytest.approx(per_word / (8 / 3))


def test_a_word_that_mostly_repeats_is_the_more_frequent_one() -> None:
    # `a ` stays with 3/4, `b ` leaves with 3/4: in the long run 3/4 of the words are `a `
    lazy = Language((b"a ", b"b "), ((0, 1), (0, 1)), (3, 1))
    crossed = Language((b"a ", b"b "), ((0, 1), (1, 0)), (3, 1))
    assert lazy.frequency_W == pytest.approx([3 / 4, 1 / 4])
    assert crossed.frequency_W == pytest.approx([1 / 2, 1 / 2])


def test_one_successor_leaves_no_surprise() -> None:
    corpus = grammar(0, 2000, words=8, successors=1, shortest=2, longest=4)
    assert corpus.bits_per_byte == 0
    text = corpus.documents[0].content
    period = sum(map(len, language(0, 8, 1, 2, 4).words))
    assert text[period:] == text[:-period]


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        (b"", 0.0),
        (b"a ", log2(3 / 2)),
        (b"a bcd\na ", log2(3 / 2) + log2(3) + log2(3 / 2)),
        (b"a b", log2(3 / 2) + log2(3)),
        (b"bc", log2(3)),
        (b"a", log2(3 / 2)),
        (b"a c", inf),
        (b"a  ", inf),
        (b"a\n", inf),
        (b"x", inf),
        (b"a \0", inf),
    ],
)
def test_the_cost_of_a_text_by_hand(text: bytes, bits: float) -> None:
    assert TWO.bits(text) == pytest.approx(bits)


def test_a_word_that_cannot_follow_costs_infinitely_much() -> None:
    made = language(0, **SMALL)
    word = next(each for each in range(64) if each not in made.successors[0])
    assert made.bits(made.words[0] + made.words[word]) == inf


def test_the_cost_of_a_text_is_that_of_its_beginning_and_of_what_follows() -> None:
    made = language(3, **SMALL)
    text = made.text(3, 3000)
    costs = [made.bits(text[:size]) for size in range(len(text) + 1)]
    assert (np.diff(costs) >= -1e-9).all()
    assert 0 < costs[-1] < inf


def test_a_megabyte_costs_its_entropy_within_the_sampling_error() -> None:
    made = language(0, **SMALL)
    text = made.text(0, 1_000_000)
    cuts = [0, *(text.index(b"\n", place) + 1 for place in range(20_000, 980_001, 20_000)), len(text)]
    slices = [text[low:high] for low, high in pairwise(cuts)]
    rates = np.array([made.bits(each) / len(each) for each in slices])
    error = rates.std(ddof=1) / len(rates) ** 0.5
    measured = made.bits(text) / len(text)
    print(f"{measured:.5f} bits per byte measured, {made.bits_per_byte:.5f} expected, standard error {error:.5f}", file=sys.stderr)
    assert error < 0.001
    assert abs(measured - made.bits_per_byte) < 4 * error


def test_the_words_come_as_often_as_expected() -> None:
    made = language(1, **SMALL)
    found = made.text(1, 1_000_000).replace(b"\n", b" ").split(b" ")[:-1]
    counted = np.array([sum(1 for word in found if word == each[:-1]) for each in made.words[:8]])
    expected = made.frequency_W[:8] * len(found)
    assert (abs(counted - expected) < 8 * expected**0.5).all()


def test_a_larger_text_continues_the_same_text() -> None:
    whole = language(0, **SMALL).text(0, 600_000)
    for size in (1, 1000, 393_216, 599_999):
        assert grammar(0, size, **SMALL).documents[0].content == whole[:size]


def test_the_text_is_pinned_and_the_same_in_a_fresh_process() -> None:
    text = grammar(0, 100_000, **SMALL).documents[0].content
    code = (
        "import hashlib, sys; from lab.data.grammar import grammar\n"
        "text = grammar(0, 100_000, words=64, successors=4, shortest=2, longest=7).documents[0].content\n"
        "print(hashlib.sha256(text).hexdigest(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashlib.sha256(text).hexdigest(), "False"]
    print("golden: another text here is another protocol for every run on it")
    assert text[:40] == GOLDEN


def test_the_pinned_floor_is_what_the_option_file_says() -> None:
    assert round(language(0, **SMALL).bits_per_byte, 3) == 0.337
    assert "0.337 bits per byte" in OPTION.read_text()


def test_the_best_possible_in_separate_blocks_is_what_the_option_file_says() -> None:
    made = language(0, **SMALL)
    measured = bits_in_blocks(made, made.text(0, 3_800_000)[-64 * 800 - 1 :], 64) / (64 * 800)
    print(f"{measured:.4f} bits per byte in blocks of 64", file=sys.stderr)
    assert abs(measured - 0.394) < 0.004
    assert "0.394 for blocks of 64 tokens" in OPTION.read_text()


def test_two_ways_to_the_cost_of_a_text_agree() -> None:
    made = language(2, **SMALL)
    text = made.text(2, 3001)
    # the filter starts from the first byte alone, which may be anywhere in a word: it has to find its way
    assert bits_in_blocks(made, text, 3000) == pytest.approx(made.bits(text), abs=12)


def bits_in_blocks(made: Language, text: bytes, block: int) -> float:
    """What the exact model pays for a text in blocks of which it knows the first byte only: the forward filter of a hidden
    Markov chain over places in words, all blocks at once, and a second way to the cost of a text."""
    places = [(word, at) for word, spelled in enumerate(made.words) for at in range(len(spelled))]
    number = {place: each for each, place in enumerate(places)}
    byte = np.array([made.words[word][at] for word, at in places])
    step = np.zeros((len(places), len(places)))
    for (word, at), each in number.items():
        if at + 1 < len(made.words[word]):
            step[each, number[word, at + 1]] = 1
        else:
            for successor, weight in zip(made.successors[word], made.weights, strict=True):
                step[each, number[successor, 0]] = weight / sum(made.weights)
    rows = np.stack([np.frombuffer(text[first : first + block + 1], dtype=np.uint8) for first in range(0, len(text) - 1, block)])
    belief = np.array([made.frequency_W[word] for word, _ in places]) * (byte == rows[:, :1])
    bits = 0.0
    for column in range(1, block + 1):
        belief = (belief / belief.sum(axis=1, keepdims=True)) @ step * (byte == rows[:, column : column + 1])
        bits -= float(np.log2(belief.sum(axis=1)).sum())
    return bits


def test_another_seed_is_another_language_with_another_text() -> None:
    one, other = language(0, **SMALL), language(1, **SMALL)
    assert one.successors != other.successors
    assert len(set(one.words) & set(other.words)) < 32
    assert one.text(0, 1000) != one.text(1, 1000)


@pytest.mark.parametrize("seed", range(20))
def test_any_word_leads_to_any_other(seed: int) -> None:
    made = language(seed, 40, 2, 2, 4)
    for first in (0, 17):
        reached, waiting = {first}, [first]
        while waiting:
            fresh = set(made.successors[waiting.pop()]) - reached
            reached |= fresh
            waiting += fresh
        assert len(reached) == 40
    assert made.frequency_W.min() > 0
    assert made.frequency_W.sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_words_and_successors_are_different_and_words_have_the_lengths_asked_for(seed: int) -> None:
    made = language(seed, **SMALL)
    spelled = [word[:-1] for word in made.words]
    assert len(set(spelled)) == 64
    assert {len(word) for word in spelled} == set(range(2, 8))
    assert {word[-1:] for word in made.words} == {b" ", b"\n"}
    assert all(word.isalpha() and word.islower() for word in spelled)
    assert all(len(set(row)) == 4 for row in made.successors)


def test_the_ascii_tokenizer_takes_it() -> None:
    text = grammar(0, 5000, **SMALL).documents[0].content
    assert Ascii().decode(Ascii().encode(text)) == text


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"words": 3, "successors": 4}, r"successors=4 are more than the 3 words"),
        ({"shortest": 8, "longest": 7}, r"shortest=8 is above data.corpus.longest=7"),
        ({"shortest": 1, "longest": 2}, r"of 1 to 2 letters there are 90 words, and at most half of them are taken, not 64"),
    ],
)
def test_a_language_that_cannot_be_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        grammar(0, 1000, **(SMALL | asked))
