"""A note is a person's words: whatever stands in it reaches the request, as it was typed."""

from __future__ import annotations

import pytest

from lab.config.compose import Composer
from lab.config.misread import for_hydra, from_hydra, with_texts_quoted
from lab.config.words import parse, render
from lab.errors import ConfigError
from tests.conftest import CHECKOUT

NOTES = [
    "first the norm, then the rate",
    "don't",
    "it's 50 % (maybe), see #3",
    '"quoted" in part',
    "a=b",
    "why: because {x} or [y]",
    "line one\nline two",
    "back\\slash",
    "ends in \\",
    "\\'",
    "null",
    "true",
    "1e-3",
    "[a,b]",
    "π ≈ 3",
    "<script>alert(1)</script>",
]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(CHECKOUT)


@pytest.mark.parametrize("note", NOTES)
def test_a_note_is_kept_as_it_was_typed_in_a_shell(composer: Composer, note: str) -> None:
    typed = with_texts_quoted([f"note={note}", f"why={note}", "seed=1"])
    composed = composer.compose(typed).resolved
    assert (composed["note"], composed["why"], composed["seed"]) == (note, note, 1)
    assert with_texts_quoted(typed) == typed, "a command that was written down can be typed again"


@pytest.mark.parametrize("note", NOTES)
def test_a_rendered_text_is_read_back_as_it_was(note: str) -> None:
    (read,) = parse([f"note={render(note)}"])
    assert read.value() == note


def test_a_note_that_is_quoted_for_hydra_is_read_by_hydra(composer: Composer) -> None:
    assert composer.compose(with_texts_quoted(["note='a, b'"])).resolved["note"] == "a, b"


@pytest.mark.parametrize("word", ["note=a,b", "note=choice(a,b)", "why=range(3)"])
def test_a_list_of_notes_stays_a_list_and_is_refused(composer: Composer, word: str) -> None:
    assert with_texts_quoted([word]) == [word]
    with pytest.raises(ConfigError, match=r"lists several values, and a .* is one text\nfor its comma, quote it for Hydra too"):
        composer.compose([word])


def test_a_note_refers_to_nothing(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="can't refer to another key"):
        composer.compose(with_texts_quoted(["note=see ${oc.env:HOME}, please"]))


@pytest.mark.parametrize("word", ["study=a", "++study=a", "study='a, b'", "study=3"])
def test_a_study_passes_through_hydra_as_no_option(word: str) -> None:
    (carried,) = for_hydra([word])
    assert not carried.startswith(("study", "++study"))
    assert from_hydra([carried]) == [word.removeprefix("++")]


@pytest.mark.parametrize(("word", "name"), [("study=3", "3"), ("study=1e-3", "1e-3"), ("study='a, b'", "a, b"), ("++study=x", "x")])
def test_a_studys_name_is_text(composer: Composer, word: str, name: str) -> None:
    assert composer.compose([word]).resolved["study"] == name
