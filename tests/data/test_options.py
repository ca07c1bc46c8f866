"""The options of conf/data: each composes, and its corpus is read with what it declares of a path and a cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.data.corpora import Document
from lab.data.tokenizers.char import Char
from lab.request import Identifier, read_corpus
from tests.conftest import Project

SMALL = ("trainer.evaluation.curve_bytes=100", "model.context=16", "trainer.evaluation.block=16")


def test_a_made_up_language_brings_its_entropy_rate(project: Project) -> None:
    config = project.composer().compose(("data=grammar", "data.corpus.bytes=20000", *SMALL)).resolved
    data = Identifier(project.root).data(config)
    assert data.bits_per_byte == pytest.approx(0.337, abs=0.0005)
    assert data.split.total == 20_000


def test_a_text_of_ones_own_can_be_read_by_characters(project: Project) -> None:
    (project.root / "text.txt").write_text("Grüße aus Köln\n" * 100)
    config = project.composer().compose(("data=text", "data.path=text.txt", "data/tokenizer=char", *SMALL)).resolved
    data = Identifier(project.root).data(config)
    assert data.tokenizer == Char("".join(sorted(set("Grüße aus Köln\n"))))
    assert data.bits_per_byte is None


def test_shakespeare_is_looked_for_in_the_projects_cache(project: Project, shakespeare: Document) -> None:
    place = project.root / "runs" / ".cache" / "texts" / "tinyshakespeare.txt"
    place.parent.mkdir(parents=True)
    place.write_bytes(shakespeare.content)
    config = project.composer().compose(("data=shakespeare", *SMALL)).resolved
    data = Identifier(project.root).data(config)
    assert data.vocabulary == 66


def test_a_copy_of_shakespeare_can_be_named(project: Project, shakespeare: Document, tmp_path: Path) -> None:
    (project.root / "copy.txt").write_bytes(shakespeare.content)
    config = project.composer().compose(("data=shakespeare", "data.path=copy.txt")).resolved
    assert read_corpus(config["data"], tmp_path / "cache").documents == [shakespeare]
    assert not (tmp_path / "cache").exists()
