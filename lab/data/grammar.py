"""An endless made-up language whose entropy rate is known exactly: how far a model is from the best possible can be told.

A Markov chain over words (Shannon 1948, sections 2 to 7). A word is a string of letters and the space or line end that closes
it, so that a text falls into words in one way only, and what it costs by bytes is what it costs by words. After each word
some few others can follow, with shares in whole-number ratio. Draws come from SHAKE-256 of the language's seed, the same on
every machine; no generator of numpy's or torch's is used.

Legend: W words  S successors of a word  R sum of their weights
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, count
from math import log2

import numpy as np
import numpy.typing as npt

from lab.data.corpora import Corpus, Document
from lab.errors import DataError

# consonant, vowel, consonant, ...: words that can be said, and told apart in a sample
LETTERS = (b"bdfghklmnprstvz", b"aeiou")
# of so many words one closes a line: splits fall on line ends
LINE = 16
BLOCK = 1 << 16


@dataclass(frozen=True)
class Language:
    """The chain: what its words are, and what may follow each.

    words       W different words, each with the space or line end that closes it
    successors  for each word the S numbers of the words that may follow
    weights     the S shares of these, as whole numbers; the same for each word
    """

    words: tuple[bytes, ...]
    successors: tuple[tuple[int, ...], ...]
    weights: tuple[int, ...]

    @cached_property
    def frequency_W(self) -> npt.NDArray[np.float64]:
        """Each word's share of a long text: the chain's stationary distribution, which is one where any word leads to any other."""
        n = len(self.words)
        step_WW = np.zeros((n, n))
        for word, successors in enumerate(self.successors):
            for successor, weight in zip(successors, self.weights, strict=True):
                step_WW[word, successor] += weight / sum(self.weights)
        # frequency = frequency x step, with one of these equations, which follow from each other, replaced by: the sum is 1
        equations_WW = step_WW.T - np.eye(n)
        equations_WW[-1] = 1
        return np.linalg.solve(equations_WW, np.eye(n)[-1])

    @property
    def bytes_per_word(self) -> float:
        """The mean length of a word in a long text, with what closes it."""
        return float(self.frequency_W @ [len(word) for word in self.words])

    @property
    def bits_per_byte(self) -> float:
        """The entropy rate: no model of the text can cost less in the long run. The weights are the same after each word."""
        total = sum(self.weights)
        return sum(weight / total * log2(total / weight) for weight in self.weights) / self.bytes_per_word

    def text(self, seed: int, size: int) -> bytes:
        """The first `size` bytes of the endless text of a seed; the last word may be cut."""
        spread = [[each for each, weight in zip(row, self.weights, strict=True) for _ in range(weight)] for row in self.successors]
        taken, left, word = [], size, 0
        for block in count():
            for draw in _draws(f"text {seed} {block}", BLOCK, sum(self.weights)):
                word = spread[word][draw]
                taken.append(self.words[word])
            left -= sum(map(len, taken[block * BLOCK :]))
            if left <= 0:
                return b"".join(taken)[:size]
        raise AssertionError("an endless text has ended")

    def bits(self, text: bytes) -> float:
        """What a text costs by the exact model, which starts at a word and may end within one; infinite when it can't be said."""
        total, number = sum(self.weights), {word: each for each, word in enumerate(self.words)}
        log_share = [{s: log2(total / w) for s, w in zip(row, self.weights, strict=True)} for row in self.successors]
        *whole, rest = re.split(rb"(?<=[ \n])", text)
        cost, before = 0.0, -1
        for part in whole:
            word = number.get(part, -1)
            if word < 0 or (before >= 0 and word not in log_share[before]):
                return float("inf")
            cost += log_share[before][word] if before >= 0 else -log2(self.frequency_W[word])
            before = word
        if rest:
            shares = dict(zip(self.successors[before], self.weights, strict=True)) if before >= 0 else dict(enumerate(self.frequency_W))
            starts = sum(share for word, share in shares.items() if self.words[word].startswith(rest))
            cost += log2(sum(shares.values()) / starts) if starts else float("inf")
        return cost


def grammar(seed: int, bytes: int, words: int, successors: int, shortest: int, longest: int) -> Corpus:
    """The first `bytes` bytes of a made-up language's text, as one document, with the language's entropy rate.

    The rest as `language` takes it. A larger `bytes` continues the same text.
    """
    made = language(seed, words, successors, shortest, longest)
    return Corpus([Document("grammar.txt", made.text(seed, bytes))], made.bits_per_byte)


def language(seed: int, words: int, successors: int, shortest: int, longest: int) -> Language:
    """The language of a seed: `words` words of `shortest` to `longest` letters, each with `successors` words that may follow it.

    These have the weights S, S - 1, ..., 1. One of them is the next word on a round trip through all words, so that any
    word leads to any other. Raises DataError when there are not so many words, or more successors than words.
    """
    if successors > words:
        raise DataError(
            f"data.corpus.successors={successors} are more than the {words} words that there are. Ask for fewer, or for more words."
        )
    if shortest > longest:
        raise DataError(f"data.corpus.shortest={shortest} is above data.corpus.longest={longest}. Swap them.")
    possible = sum(_spellings(length) for length in range(shortest, longest + 1))
    if 2 * words > possible:
        raise DataError(
            f"of {shortest} to {longest} letters there are {possible} words, and at most half of them are taken, not {words}.\n"
            "Ask for fewer words (data.corpus.words), or allow longer ones (data.corpus.longest)."
        )
    trip = _drawn(f"trip {seed}", range(words), words)
    follower = dict(zip(trip, [*trip[1:], trip[0]], strict=True))
    rows = []
    for word in range(words):
        others = [each for each in range(words) if each != follower[word]]
        row = [follower[word], *_drawn(f"successors {seed} {word}", others, successors - 1)]
        rows.append(tuple(_drawn(f"weights {seed} {word}", row, successors)))
    return Language(tuple(_words(seed, words, shortest, longest)), tuple(rows), tuple(range(successors, 0, -1)))


def _words(seed: int, words: int, shortest: int, longest: int) -> list[bytes]:
    """Different words; every 16th closes a line, and the first one does, so that each language has lines."""
    spelled: dict[bytes, None] = {}
    for number in count():
        if len(spelled) == words:
            break
        length, *draws = _draws(f"word {seed} {number}", 1 + longest, 1 << 32)
        length = shortest + length % (longest - shortest + 1)
        # each length as often as another, though there are more long words
        spelled[b"".join(_letter(place, draw) for place, draw in enumerate(draws[:length]))] = None
    return [word + (b" " if number % LINE else b"\n") for number, word in enumerate(spelled)]


def _letter(place: int, draw: int) -> bytes:
    letters = LETTERS[place % 2]
    at = draw % len(letters)
    return letters[at : at + 1]


def _spellings(length: int) -> int:
    """How many words of a length there are."""
    return list(accumulate(range(length), lambda ways, place: ways * len(LETTERS[place % 2]), initial=1))[-1]


def _drawn(purpose: str, of: Sequence[int], size: int) -> list[int]:
    """`size` of some numbers, in an order of the purpose's own (the first steps of Fisher and Yates's shuffle)."""
    rest = list(of)
    for place, draw in enumerate(_draws(purpose, size, 1 << 63)):
        other = place + draw % (len(rest) - place)
        rest[place], rest[other] = rest[other], rest[place]
    return rest[:size]


def _draws(purpose: str, size: int, below: int) -> Iterator[int]:
    """Whole numbers in [0, below), evenly to one part in 2**64 / below."""
    words = hashlib.shake_256(f"lab.data.grammar {purpose}".encode()).digest(8 * size)
    yield from (np.frombuffer(words, dtype="<u8") % np.uint64(below)).tolist()
