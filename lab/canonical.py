"""The texts of a JSON value: the one that digests are of, the one that people read, and the seal that holds a text to its value.

Knows bytes and values; touches no file.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import Any

SEAL = "sha256_of_this"
LARGEST_KNOWN = 16 << 10  # of a member that is remembered; the largest that runs have in common, their code, has 6 KB
OPENS, BETWEEN, CLOSES = b'{\n "', b',\n "', b"\n}\n"  # how a JSON file sets the members of an object
TABLE_CLOSES = b"\n }" + CLOSES
WORD = re.compile(rb'([a-z0-9_]+)": "([A-Za-z0-9_.:+-]*)"')  # a digest, a name: its canonical text is the same
ONE_LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """The one text of a value: sorted keys, no spaces, no NaN. Equal values give equal bytes on every machine."""
    return CANONICAL.encode(value)


def sha256_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def parse_object(line: bytes) -> dict[str, Any] | None:
    """One JSON object, or None when the bytes aren't one."""
    try:
        row = json.loads(line.decode())  # decoded here: given bytes with NULs in them, json guesses at UTF-16
    except (ValueError, RecursionError):  # the latter: brackets nested too deep
        return None
    return row if isinstance(row, dict) else None


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with its own SHA-256 in it, for files that no other file vouches for."""
    rest = {name: each for name, each in value.items() if name != SEAL}
    return rest | {SEAL: sha256_of(rest)}


def seal_holds(value: dict[str, Any]) -> bool:
    """Whether a sealed object is as it was when it was sealed."""
    try:
        return bool(sealed(value)[SEAL] == value.get(SEAL))
    except (ValueError, RecursionError):  # NaN, or brackets nested too deep to be written again: we never write either
        return False


def as_sealed(content: bytes) -> dict[str, Any] | None:
    """What `held` gives for these bytes, member by member, so that a member met before costs a look-up; None where it takes a closer look.

    Where each member is as `write_json` writes it, they stand together as it sets them, and none stands twice, so is the whole.
    """
    if not (content.startswith(OPENS) and content.endswith(CLOSES)):
        return None
    pieces = content[len(OPENS) : -len(CLOSES)].split(BETWEEN)
    try:
        members = [known_member(each) if len(each) <= LARGEST_KNOWN else member(each) for each in pieces]
    except (ValueError, RecursionError):
        return None
    value = {key: each for key, each, _ in members}
    canonical = ",".join(text for _, text in sorted((key, text) for key, _, text in members if key != SEAL))
    whole = len(value) == len(members) and value.get(SEAL) == hashlib.sha256(f"{{{canonical}}}".encode()).hexdigest()
    return value if whole else None


def member(piece: bytes) -> tuple[str, Any, str]:
    """One member of an object, from behind its first quote: its key, its value, its canonical text. Raises ValueError for other bytes."""
    if found := WORD.fullmatch(piece):
        key, word = (each.decode() for each in found.groups())
        return key, word, f'"{key}":"{word}"'
    content = OPENS + piece + CLOSES
    value = json.loads(content.decode())
    if not flat_as_written(content, value) and json_text(value).encode(errors="backslashreplace") != content:
        raise ValueError("not as it is written")
    ((key, each),) = value.items()
    return key, each, canonical_json(value)[1:-1]


def flat_as_written(content: bytes, value: dict[str, Any]) -> bool:
    """Whether this is what `write_json` writes of an object whose one member is a table of plain values, without indenting it anew.

    No string holds a line break, so each stands between two tokens; taken out where they belong, and as many as belong there, they
    leave the text on one line.
    """
    (table,) = value.values()
    if not isinstance(table, dict) or not table or any(isinstance(each, (dict, list)) for each in table.values()):
        return False
    if content.count(b"\n") != len(table) + 4 or not content.endswith(TABLE_CLOSES):
        return False
    inside = content[len(OPENS) : -len(TABLE_CLOSES)].replace(b",\n  ", b", ").replace(b": {\n  ", b": {", 1)
    return b'{"%b}}' % inside == ONE_LINE.encode(value).encode(errors="backslashreplace")


known_member = lru_cache(maxsize=2048)(member)  # a run has a dozen of its own, and shares the others with many
