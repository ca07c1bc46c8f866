"""Corpora: what is read, in which order, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.data.corpora import library_documents, standard_library, text_files
from lab.errors import DataError


def test_the_standard_library_is_ascii_source_without_tests_and_packages() -> None:
    documents = standard_library().documents
    names = [document.name for document in documents]
    assert {"os.py", "json/decoder.py", "encodings/utf_8.py"} <= set(names)
    assert not [name for name in names if {"site-packages", "test", "tests", "idle_test", "__pycache__"} & set(name.split("/"))]
    assert not [name for name in names if name.startswith(("_sysconfigdata", "config-"))]
    assert len(set(names)) == len(names)
    assert all(document.content.isascii() for document in documents)
    assert 400 < len(documents) < 1500
    assert sum(len(document.content) for document in documents) > 5_000_000


def test_the_order_of_the_standard_library_does_not_follow_the_alphabet() -> None:
    names = [document.name for document in standard_library().documents]
    last = {name[0] for name in names[-len(names) // 20 :]}
    assert names != sorted(names)
    assert len(last) > 8


def test_the_order_depends_on_the_names_alone(tmp_path: Path) -> None:
    names = [f"{letter}.py" for letter in "abcdef"]
    orders = []
    for folder, created in (("first", names), ("second", names[::-1])):
        (tmp_path / folder).mkdir()
        for name in created:
            (tmp_path / folder / name).write_text(f"{folder} {name}\n")
        orders.append([document.name for document in library_documents(tmp_path / folder, frozenset("abcdef"))])
    # sha256("e.py") is the smallest: a change of the order changes everyone's text
    assert orders[0] == orders[1] == ["e.py", "d.py", "b.py", "c.py", "f.py", "a.py"]


def test_what_is_not_a_module_of_the_library_or_not_ascii_is_left_out(tmp_path: Path) -> None:
    kept = {"os.py", "json/decoder.py"}
    left = {"mine.py", "json/tests/one.py", "site-packages/os.py", "test/os.py", "config-x/os.py", "json/data.txt"}
    for name in kept | left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x = 1\r\n")
    (tmp_path / "re.py").write_bytes("é".encode())
    documents = library_documents(tmp_path, frozenset({"os", "json", "re", "test"}))
    assert {document.name for document in documents} == kept
    assert {document.content for document in documents} == {b"x = 1\r\n"}


def test_a_python_without_source_text_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no source text(.|\n)*data=text"):
        library_documents(tmp_path, frozenset({"os"}))


def test_one_file_is_one_document_byte_for_byte(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfone\r\ntwo\rthree\x00\n\n"
    (tmp_path / "text.any").write_bytes(content)
    [document] = text_files(tmp_path / "text.any").documents
    assert (document.name, document.content) == ("text.any", content)


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a.TXT", "c.csv", "a/b/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [document.name for document in text_files(tmp_path).documents] == ["a.TXT", "a/b/c.txt", "a/z.md", "b.txt"]


def test_text_that_is_not_utf8_is_refused_by_name_and_byte(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(DataError, match=r"latin\.txt isn't UTF-8 text: byte 3 is 0xe9(.|\n)*iconv"):
        text_files(tmp_path)


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        ({}, "nowhere.txt", r"nowhere\.txt, and there is no such file"),
        ({}, ".", r"no \.md or \.txt file below"),
        ({"a.csv": "1", "b.csv": "2"}, ".", "2 other files there"),
        ({"a.txt": "", "b.md": ""}, ".", r"corpus is empty: 2 file\(s\)"),
        ({"a.txt": ""}, "a.txt", r"corpus is empty: 1 file\(s\)"),
    ],
)
def test_a_place_without_text_is_refused_with_what_was_found(tmp_path: Path, files: dict[str, str], path: str, message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        text_files(tmp_path / path)


def test_no_path_is_refused_with_the_key_to_set() -> None:
    with pytest.raises(DataError, match=r"data\.path=FILE_OR_FOLDER"):
        text_files(None)


def test_preparing_data_does_not_import_torch() -> None:
    rooms = "lab.data.corpora, lab.data.prepare, lab.data.tokenizers.ascii, lab.data.tokenizers.bytes"
    code = f"import sys, {rooms}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
