"""Words that Hydra would misread: a note in plain English, and a study's name. Turns them into what it reads right, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lab.config.words import render

TEXTS = ("note=", "why=")  # words of a person
STUDY = re.compile(r"(\+\+)?study=")
CARRIED = "+named_study="  # a study's name on its way through Hydra


def with_texts_quoted(overrides: Sequence[str]) -> list[str]:
    """The same words, a note in plain English quoted as Hydra wants it: else its commas and apostrophes would be Hydra's own.

    A list without a blank (`note=a,b`) stays one, and is refused where lists are.
    """
    return [quoted_text(each) if each.startswith(TEXTS) else each for each in overrides]


def quoted_text(word: str) -> str:
    key, _, text = word.partition("=")
    try:
        override = OverridesParser.create().parse_override(word)
        listed = override.is_sweep_override() and not re.search(r"^[^()]*\s", text)
        if listed or (not override.is_sweep_override() and isinstance(override.value(), str)):
            return word
    except HydraException:
        pass  # an apostrophe, a bracket, ...
    return f"{key}={render(text)}"


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """The same words as Hydra may see them: since conf/study is a folder, it would take `study=NAME` for a choice among its files."""
    return [CARRIED + each.partition("=")[2] if STUDY.match(each) else each for each in overrides]


def from_hydra(overrides: Sequence[str]) -> list[str]:
    """The words as they were before `for_hydra`."""
    return [f"study={each.removeprefix(CARRIED)}" if each.startswith(CARRIED) else each for each in overrides]
