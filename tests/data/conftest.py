"""A tiny corpus with long and short lines, characters of two and three bytes, an empty document and one without a line end."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.data.corpora import Document

SHAKESPEARE = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"


@pytest.fixture
def plain() -> list[Document]:
    """ASCII, 4 documents, 2,400 bytes."""
    return [Document(f"{name}.txt", (f"{name} says a line\n" * 60)[:600].encode()) for name in ("one", "two", "three", "four")]


@pytest.fixture
def mixed() -> list[Document]:
    """UTF-8 of all widths."""
    return [
        Document("a.txt", ("Grüße aus Köln, 3 €\n" * 30).encode()),
        Document("empty.txt", b""),
        Document("b.md", ("日本語 " * 200).encode()),
        Document("c.txt", ("plain line\r\n" * 40).encode()),
        Document("d.txt", ("🙂é" * 100).encode()),
    ]


@pytest.fixture
def shakespeare() -> Document:
    if not SHAKESPEARE.exists():
        pytest.skip("not run: the text ../shared/data/tinyshakespeare.txt isn't beside this checkout")
    return Document("tinyshakespeare.txt", SHAKESPEARE.read_bytes())
