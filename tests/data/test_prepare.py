"""Preparing: what the token files hold, and a cache that is never trusted blindly."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from lab.data import prepare as module
from lab.data.corpora import Document
from lab.data.prepare import PreparedData, prepare, require_length
from lab.data.tokenfile import TokenFile
from lab.data.tokenizers.ascii import Ascii
from lab.data.tokenizers.bytes import Bytes
from lab.errors import DataError, MachineError

FILES = ("train", "validation", "curve")


def prepared(documents: list[Document], cache: Path, **other: Any) -> PreparedData:
    asked = {"validation_fraction": 0.25, "test_fraction": 0.125, "validation_bytes": None, "curve_bytes": 100, "tokenizer": Bytes()}
    return prepare(documents, cache=cache, **(asked | other))


@dataclass(frozen=True)
class Counting(Bytes):
    """Bytes, and it counts the texts that it was given."""

    given: ClassVar[list[bytes]] = []

    def encode(self, text: bytes) -> Any:
        self.given.append(text)
        return super().encode(text)


@dataclass(frozen=True)
class Lossy(Bytes):
    """Says yes to everything and keeps half."""

    half: int = 2

    def encode(self, text: bytes) -> Any:
        return super().encode(text)[:: self.half]


@dataclass(frozen=True)
class Lower(Bytes):
    """Keeps the count and loses the case."""

    def encode(self, text: bytes) -> Any:
        return super().encode(text.upper())


@pytest.mark.parametrize("tokenizer", [Ascii(), Bytes()], ids=lambda each: type(each).__name__)
def test_each_piece_of_a_range_is_a_mark_and_its_text(plain: list[Document], tmp_path: Path, tokenizer: Any) -> None:
    data = prepared(plain, tmp_path, tokenizer=tokenizer)
    text = b"".join(document.content for document in plain)
    ranges = {
        "train": (0, data.split.train_end),
        "validation": (data.split.train_end, data.split.validation_end),
        "curve": (data.split.train_end, data.split.train_end + 100),
    }
    length_V = tokenizer.bytes_per_token()
    for name, (low, high) in ranges.items():
        file = getattr(data, name)
        tokens = TokenFile.open(file.path)
        assert tokenizer.decode(tokens) == text[low:high]
        assert length_V[tokens].sum() == file.n_bytes == high - low
        assert len(tokens) == file.n_tokens
        assert tokens[0] == tokenizer.mark
        borders = sum(low < at < high for at in (600, 1200, 1800))
        assert (tokens == tokenizer.mark).sum() == borders + 1
    assert (data.vocabulary, data.mark) == (tokenizer.vocabulary, tokenizer.mark)


@pytest.mark.parametrize("sizes", [(None, 100), (300, 7), (120, 10_000), (1, 1)])
def test_two_tokenizers_get_the_same_text_and_the_same_bytes(plain: list[Document], tmp_path: Path, sizes: tuple[int | None, int]) -> None:
    asked = {"validation_bytes": sizes[0], "curve_bytes": sizes[1]}
    one, two = (prepared(plain, tmp_path, tokenizer=each, **asked) for each in (Ascii(), Bytes()))
    assert one.text == two.text
    assert one.split == two.split
    assert one.token_digest != two.token_digest
    for name in FILES:
        assert getattr(one, name).n_bytes == getattr(two, name).n_bytes
        assert getattr(one, name).path != getattr(two, name).path


def test_the_curve_reads_at_most_what_the_final_evaluation_reads(plain: list[Document], tmp_path: Path) -> None:
    data = prepared(plain, tmp_path, validation_bytes=120, curve_bytes=10_000)
    assert (data.validation.n_bytes, data.curve.n_bytes) == (120, 120)
    assert data.validation.sha256 == data.curve.sha256


def test_the_sizes_of_the_evaluations_leave_the_text_fingerprint_alone(plain: list[Document], tmp_path: Path) -> None:
    assert prepared(plain, tmp_path).text == prepared(plain, tmp_path, validation_bytes=50, curve_bytes=5).text


def test_a_corpus_smaller_than_asked_is_refused_with_both_numbers(plain: list[Document], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"smaller than asked: trainer.evaluation.bytes is 5000, and the validation range has \d+"):
        prepared(plain, tmp_path, validation_bytes=5000)
    assert not list(tmp_path.iterdir())


def test_the_entropy_rate_of_the_source_is_handed_through_and_moves_no_token(plain: list[Document], tmp_path: Path) -> None:
    unknown, known = prepared(plain, tmp_path), prepared(plain, tmp_path, bits_per_byte=0.5)
    assert (unknown.bits_per_byte, known.bits_per_byte) == (None, 0.5)
    assert known.token_digest == unknown.token_digest
    assert known.tokenizer == Bytes()


def test_a_second_preparation_tokenizes_nothing(plain: list[Document], tmp_path: Path) -> None:
    first = prepared(plain, tmp_path, tokenizer=Counting())
    given = len(Counting.given)
    assert given > 0
    assert prepared(plain, tmp_path, tokenizer=Counting()) == first
    assert len(Counting.given) == given
    first.verify()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["flip", "cut", "empty", "foreign", "gone"])
def test_a_damaged_token_file_is_made_again_with_a_warning(
    plain: list[Document], tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, fault: str
) -> None:
    first = prepared(plain, tmp_path)
    path = getattr(first, name).path
    good = path.read_bytes()
    other = getattr(first, "validation" if name == "train" else "train").path.read_bytes()
    faults = {"flip": good[:-3] + bytes([good[-3] ^ 4]) + good[-2:], "cut": good[:-2], "empty": b"", "foreign": other}
    path.unlink()
    if fault in faults:
        path.write_bytes(faults[fault])
    with pytest.raises(DataError, match=f"{name}.tokens"):
        first.verify()
    assert prepared(plain, tmp_path) == first
    assert path.read_bytes() == good
    assert "is damaged and is made again" in caplog.text
    assert f"{name}.tokens" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"made_from": 1}', b"\xff\x00", b"wrong", b"types", b"count"])
def test_damaged_notes_of_a_preparation_are_made_again_with_a_warning(
    plain: list[Document], tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    first = prepared(plain, tmp_path)
    path = first.train.path.with_name(module.META)
    good = path.read_bytes()
    meta = json.loads(good)
    if content == b"wrong":
        meta["files"]["train"]["sha256"] = "0" * 64
    elif content == b"types":
        meta["files"] = ["train"]
    elif content == b"count":
        meta["files"]["curve"]["n_tokens"] += 1
    path.write_bytes(json.dumps(meta).encode() if content in (b"wrong", b"types", b"count") else content)
    assert prepared(plain, tmp_path) == first
    assert path.read_bytes() == good
    assert "is made again" in caplog.text


def test_an_unfinished_preparation_is_made_without_a_warning(
    plain: list[Document], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepared(plain, tmp_path)
    first.train.path.with_name(module.META).unlink()
    first.curve.path.write_bytes(b"half")
    assert prepared(plain, tmp_path) == first
    assert not caplog.text


def test_another_text_size_or_tokenizer_has_a_folder_of_its_own(plain: list[Document], tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = [{}, {"curve_bytes": 99}, {"validation_bytes": 200}, {"tokenizer": Ascii()}, {"test_fraction": 0.3}]
    folders = {prepared(plain, tmp_path, **each).train.path.parent for each in asked}
    folders.add(prepared(plain[::-1], tmp_path).train.path.parent)
    assert len(folders) == 6


def test_an_edited_tokenizer_is_another_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokenizer_of_mine.py"
    file.write_text("from lab.data.tokenizers.bytes import Bytes\nclass Mine(Bytes):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("tokenizer_of_mine").Mine()
    before = module.tokenizer_identity(mine)
    assert module.tokenizer_identity(mine) == before
    file.write_text(file.read_text() + "# edited\n")
    assert module.tokenizer_identity(mine) != before


def test_arguments_are_part_of_a_tokenizer() -> None:
    assert module.tokenizer_identity(Lossy(half=3)) != module.tokenizer_identity(Lossy())


def test_a_tokenizer_that_cannot_be_told_from_another_is_refused() -> None:
    with pytest.raises(DataError, match="isn't a dataclass"):
        module.tokenizer_identity(object())  # type: ignore[arg-type]
    typed = type("Typed", (Bytes,), {"__module__": "nowhere"})
    with pytest.raises(DataError, match="isn't written in a file"):
        module.tokenizer_identity(typed())


@pytest.mark.parametrize(("tokenizer", "stand_for"), [(Lossy(), r"tokens of uint16 stand for \d+"), (Lower(), "or for others")])
def test_a_tokenizer_that_loses_text_is_refused(plain: list[Document], tmp_path: Path, tokenizer: Any, stand_for: str) -> None:
    with pytest.raises(DataError, match=f"{type(tokenizer).__name__} loses text: 'one.txt' has 600 bytes(.|\n)*{stand_for}"):
        prepared(plain, tmp_path, tokenizer=tokenizer)
    assert not list(tmp_path.rglob("*"))


def test_text_that_the_tokenizer_refuses_is_told_by_document_and_byte(plain: list[Document], tmp_path: Path) -> None:
    content = plain[2].content
    documents = [*plain[:2], Document("three.txt", content[:-5] + b"\x00" + content[-4:]), plain[3]]
    with pytest.raises(DataError, match=r"Ascii can't take 'three\.txt': 0x00 .* \(byte 595\)(.|\n)*data/tokenizer=bytes"):
        prepared(documents, tmp_path, tokenizer=Ascii())


def test_nothing_tokenizes_the_test_range(plain: list[Document], tmp_path: Path) -> None:
    data = prepared(plain, tmp_path, tokenizer=Ascii())
    documents = [*plain[:3], Document("four.txt", plain[3].content[:-1] + b"\xff")]
    again = prepared(documents, tmp_path, tokenizer=Ascii())
    assert again == data
    assert data.train.n_bytes + data.validation.n_bytes == data.split.validation_end < data.split.total


@pytest.mark.skipif(os.geteuid() == 0, reason="not run: root may write anywhere")
def test_a_cache_that_cannot_be_written_is_the_machines_fault(plain: list[Document], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MachineError, match="can't write prepared data"):
        prepared(plain, tmp_path)


def test_a_cache_whose_place_is_taken_is_the_machines_fault(plain: list[Document], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError, match="can't write prepared data"):
        prepared(plain, tmp_path / "file")


def test_processes_that_prepare_at_once_end_with_the_same_whole_files(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, lab.data.prepare as p; from lab.data.corpora import Document; from lab.data.tokenizers.bytes import Bytes\n"
        "documents = [Document(str(n), (str(n) + ' line\\n').encode() * 3000) for n in range(10)]\n"
        "for _ in range(3):\n"
        "    d = p.prepare(documents, 0.2, 0.1, None, 1000, Bytes(), pathlib.Path(sys.argv[1]))\n"
        "    d.verify(); d.train.path.with_name(p.META).unlink(missing_ok=True)\n"
        "print(d.token_digest)"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ends = [(*racer.communicate(), racer.returncode) for racer in racers]
    assert [code for _, _, code in ends] == [0, 0, 0], ends
    assert len({digest for digest, _, _ in ends}) == 1
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("context", "block", "name"), [(1000, 1000, "training"), (700, 10, "validation"), (10, 700, "validation"), (10, 10, "")]
)
def test_data_too_short_for_the_context_is_refused_with_the_numbers(
    plain: list[Document], tmp_path: Path, context: int, block: int, name: str
) -> None:
    data = prepared(plain, tmp_path)
    if not name:
        require_length(data, context, block)
        return
    found = getattr(data, {"training": "train"}.get(name, name)).n_tokens
    with pytest.raises(DataError, match=f"the {name} range has {found} tokens; with model.context={context}"):
        require_length(data, context, block)


def test_a_million_characters_are_prepared_alike_by_both_tokenizers(shakespeare: Document, tmp_path: Path) -> None:
    one, two = (prepare([shakespeare], 0.1, 0.05, None, 16384, each, tmp_path) for each in (Ascii(), Bytes()))
    assert one.text == two.text
    assert np.array_equal(TokenFile.open(one.train.path)[1:], TokenFile.open(two.train.path)[1:])
    for split_end in (one.split.train_end, one.split.validation_end):
        assert shakespeare.content[split_end - 1 : split_end] == b"\n"
