"""The quick look at a sealed text takes nothing that the long look refuses, and gives what it gives."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.canonical import SEAL, as_sealed, canonical_json, json_text, sealed
from lab.files import held, read_sealed, read_shared
from tests.cases import Cases

VALUES: list[dict[str, Any]] = [
    {"schema": 1, "loss": 1e-05, "exact": 0.30000000000000004, "large": 1e16, "whole": 5606400.0, "minus": -0.0, "none": None, "yes": True},
    {"identity": "0" * 64, "metrics": {"a": 2.1, "b": None, "c": 1e-05}, "empty": {}, "list": [], "texts": ["a", "b, c", 'd": "e']},
    {"words": {"a: b": "c, d", 'q"': "\\", "line": "x\ny", "é": "naïve ✓", "typed": "caf\udce9", "delete": "\x7f", "control": "\x01"}},
    {"code": {f"lab.module{index}": "0" * 64 for index in range(20)}, "deep": {"a": {"b": {"c": [1, [2, {"d": []}]]}}}, "big": 10**400},
    {"b": 1, "a": 2, "é": 3, "A": 4, "\udce9": 5, "": 6, "z" * 300: {"y" * 300: "x" * 300}},
    {"long": {f"name{index}": index / 7 for index in range(900)}},
    {},
]


def written(value: dict[str, Any]) -> bytes:
    return json_text(value).encode(errors="backslashreplace")


def long_look(content: bytes) -> dict[str, Any] | None:
    try:
        return held(Path("a file"), content)
    except ValueError:
        return None


@pytest.mark.parametrize("value", VALUES)
def test_what_is_written_is_taken_at_once(value: dict[str, Any]) -> None:
    content = written(sealed(value))
    assert repr(as_sealed(content)) == repr(sealed(value)) == repr(long_look(content))


def resealed(text: str) -> Iterator[bytes]:
    """A text whose seal is that of what it says, in forms that nobody writes."""
    value = json.loads(text)
    seal = sealed(value)[SEAL] if isinstance(value, dict) else ""
    body = text.rstrip().removesuffix("}").rstrip()
    for gap in (",\n ", ",\n  ", ", ", ",", ",\n\t", ",\n\n "):
        for end in ("\n}\n", "}\n", "\n}", "\n }\n", "\n}\n\n"):
            yield f'{body}{gap}"{SEAL}": "{seal}"{end}'.encode()


ODD = [
    *('{\n "a": 1,\n "a": 1', '{\n "a": 1,\n "b": 1,\n "a": 2', '{\n "a": {\n  "b": 1,\n  "b": 1\n }', '{\n "a": {\n  "b": 1, "c": 2\n }'),
    *(
        '{\n "a": {"b": 1}',
        '{\n "a": {\n "b": 1\n }',
        '{\n "a": {\n  "b": 1\n  }',
        '{\n "a": {\n  "b": {\n   "c": 1\n  }\n }',
        '{\n "a": [1]',
    ),
    *('{\n "a":\n 1', '{\n "a" : 1', '{\n "a": 1.0', '{\n "a": 1.00', '{\n "a": 1e0', '{\n "a": 1E5', '{\n "a": 0.1000', '{\n "a": -0'),
    *('{\n "a": {\n  "b": "x, y",\n  "c": 1\n }', '{\n "a": {\n  "b": "x",\n "c": 1\n }', '{\n "a": {\n  "b": 1,\n\n  "c": 2\n }'),
    *('{\n "a": "\\u00e9"', '{\n "a": "é"', '{\n "a": "\\udce9"', '{\n "a": "\\/"', '{\n "a": {\n  "b": "\\u0041"\n }', '{\n "\\u0061": 1'),
    *('{\n "a": {\n  "b":  1\n }', '{\n "a": {\n  "b": 1 ,\n  "c": 2\n }', '{ "a": 1', '{\n"a": 1', '{\n  "a": 1', '\n{\n "a": 1'),
    *(
        '{\n "a": {}',
        '{\n "a": {\n }',
        '{\n "a": [\n ]',
        '{\n "a": {\n  "b": {}\n }',
        '{\n "a": {\n  "b": [\n  ]\n }',
        '{\n "a": 10000000000000000000000',
    ),
]


def spoiled() -> Iterator[tuple[str, bytes]]:
    draw = random.Random(0)
    for place, value in enumerate(VALUES):
        content = written(sealed(value))
        for at in draw.sample(range(len(content)), min(120, len(content))):
            yield f"{place}: cut out at {at}", content[:at] + content[at + 1 :]
            for byte in draw.sample([b" ", b"\n", b",", b'"', b"0", b"{", b"\x00", b"\xff"], 3):
                yield f"{place}: {byte!r} put in at {at}", content[:at] + byte + content[at:]
            flipped = bytearray(content)
            flipped[at] ^= 1 << draw.randrange(8)
            yield f"{place}: flipped at {at}", bytes(flipped)
        yield f"{place}: on one line", json.dumps(sealed(value)).encode()
        yield f"{place}: canonical", canonical_json(sealed(value)).encode()
        yield f"{place}: wider", json.dumps(sealed(value), indent=2).encode()
        yield f"{place}: in another order", written(dict(reversed(sealed(value).items())))
    for text in ODD:
        for content in resealed(text + "\n}\n"):
            yield f"sealed: {content!r}", content


def test_the_quick_look_takes_what_the_long_one_takes(cases: Callable[[str], Cases]) -> None:
    count, naive, taken = cases("sealed texts spoiled"), cases("sealed texts spoiled"), 0
    for name, content in spoiled():
        quick, slow = as_sealed(content), long_look(content)
        taken += quick is not None
        count.check(name, repr(quick) == repr(slow))
        naive.check(name, slow is not None or not holds_as_values(content))
    count.all_good(at_least=4000)
    naive.some_bad()
    assert taken > 10, "nothing was taken: this test shows nothing"


def holds_as_values(content: bytes) -> bool:
    """Who looks at the values alone."""
    try:
        value = json.loads(content)
        return isinstance(value, dict) and sealed(value)[SEAL] == value.get(SEAL)
    except (ValueError, RecursionError):
        return False


def test_what_is_read_may_be_changed_and_what_is_shared_is_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(written(sealed({"name": name, "code": {"lab": "0" * 64}})))
    one, other = read_sealed(tmp_path / "a"), read_sealed(tmp_path / "b")
    one["code"]["lab"] = "changed"
    assert other == read_sealed(tmp_path / "b")
    assert read_sealed(tmp_path / "a")["code"] == {"lab": "0" * 64}
    assert read_shared(tmp_path / "a")["code"] is read_shared(tmp_path / "b")["code"]
