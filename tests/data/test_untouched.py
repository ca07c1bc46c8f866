"""The test range: what no run reads, and nothing else of the text."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.ablate.codemap import reached
from lab.data.corpora import Document
from lab.data.prepare import prepare
from lab.data.split import split_documents
from lab.data.tokenizers.ascii import Ascii
from lab.data.untouched import size, untouched
from lab.errors import DataError

DOCUMENTS = [Document(f"{number}.txt", b"".join(b"line %03d of %d\n" % (line, number) for line in range(40))) for number in range(10)]
WHOLE = b"".join(document.content for document in DOCUMENTS)


def test_the_test_range_is_what_training_and_validation_leave(tmp_path: Path) -> None:
    prepared = prepare(DOCUMENTS, 0.1, 0.15, None, 50, Ascii(), tmp_path)
    found = untouched(DOCUMENTS, prepared.split, None, Ascii())
    text = Ascii().decode(found.tokens_T)
    assert found.tokens_T[0] == Ascii().mark
    assert WHOLE.endswith(text)
    assert len(text) == found.n_bytes == size(prepared.split) == len(WHOLE) - prepared.split.validation_end
    assert int((found.tokens_T == Ascii().mark).sum()) == 2, "half of a document, and a whole one"


def test_no_more_is_read_than_asked() -> None:
    split = split_documents(DOCUMENTS, 0.1, 0.15)
    found = untouched(DOCUMENTS, split, 100, Ascii())
    assert found.n_bytes == 100
    assert Ascii().decode(found.tokens_T) == WHOLE[split.validation_end :][:100]


def test_a_corpus_without_a_test_range_is_refused_with_a_way_out() -> None:
    with pytest.raises(DataError, match=r"data\.test_fraction is 0\n.*lab pin NAME data\.test_fraction=0\.05"):
        untouched(DOCUMENTS, split_documents(DOCUMENTS, 0.1, 0.0), None, Ascii())


def test_nothing_that_trains_imports_it() -> None:
    assert "lab.data.untouched" not in reached(["lab.experiment", "lab.data.prepare"], ())
