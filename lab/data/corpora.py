"""Where the text comes from: documents as bytes, as they are on disk. Cleans nothing up, splits nothing, imports no torch.

A corpus is a function that returns a Corpus; an option in conf/data names it by `_target_`. It is called with its option's
keys and with what it declares of these two:

    path    what data.path names, None where the configuration names nothing
    cache   a folder that may be deleted at any time, for what is costly to get
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from lab.errors import DataError
from lab.files import walk_files

TEXT_SUFFIXES = (".md", ".txt")

# packages installed beside the library, and its tests: distributions drop these to save space, so that the text is the same
# on more machines without them
OUTSIDE = frozenset({"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"})


@dataclass(frozen=True)
class Document:
    """One text: its name (a posix path relative to the corpus) and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Corpus:
    """All documents, in the order in which they are split, and the entropy rate of their source where that is known."""

    documents: list[Document]
    bits_per_byte: float | None = None


def standard_library() -> Corpus:
    """The source files of the running Python's standard library that are ASCII, in the order of the SHA-256 of their names.

    Without the test folders (test, tests, idle_test), CPython 3.11 as its own build installs it has 734
    files and 12.1 MB there, 17 of them not ASCII. Of these, five are no module of the library's list
    (`sys.stdlib_module_names`) but made by the build, with the build's paths in them, or greetings for its tests; they are
    left out too. So 712 documents and 10.9 MB remain.

    The order does not follow the alphabet: else the validation range would be the modules from v to z, all of them.

    Raises DataError where this Python carries no source text (a zipped or frozen one).
    """
    library = Path(sysconfig.get_path("stdlib"))
    return Corpus(library_documents(library, sys.stdlib_module_names))


def library_documents(library: Path, modules: frozenset[str]) -> list[Document]:
    """The ASCII source files of these top-level modules below `library`, as `standard_library` gives them."""
    documents = []
    for folder, folders, files in os.walk(library):
        place = Path(folder).relative_to(library)
        # what is removed here isn't walked: an installation's packages can be many times the library
        folders[:] = [name for name in folders if name not in OUTSIDE and (place.parts or name in modules)]
        for name in files:
            if name.endswith(".py") and (place.parts or name.removesuffix(".py") in modules):
                content = _read(Path(folder, name))
                if content.isascii():
                    documents.append(Document((place / name).as_posix(), content))
    if not any(document.content for document in documents):
        raise DataError(
            f"this Python has no source text of its standard library: no ASCII .py file was found below {library}.\n"
            "Use a text of your own: `data=text data.path=FILE_OR_FOLDER`."
        )
    return sorted(documents, key=lambda document: hashlib.sha256(document.name.encode()).digest())


def text_files(path: Path | None) -> Corpus:
    """The text of one file, or of every .txt and .md file below a folder, in the order of their paths.

    Bytes as they are: no newline, mark or normal form is touched.
    Raises DataError when there is no such path, no text in it, or a file isn't UTF-8 (with its name and the byte).
    """
    if path is None:
        raise DataError("this corpus reads a file or a folder, and data.path names none. Set it: `data.path=FILE_OR_FOLDER`.")
    if not path.exists():
        raise DataError(f"data.path names {path}, and there is no such file or folder. Correct data.path.")
    if path.is_dir():
        files = [(file.relative_to(path).as_posix(), file) for file in walk_files(path) if is_text(file.relative_to(path))]
        if not files:
            raise DataError(
                f"no {' or '.join(TEXT_SUFFIXES)} file below the folder {path}; {sum(1 for _ in walk_files(path))} other files there.\n"
                "Rename the texts, or name one file: `data.path=FILE`."
            )
    else:
        files = [(path.name, path)]
    documents = [Document(name, _read_utf8(file)) for name, file in files]
    if not any(document.content for document in documents):
        raise DataError(f"the corpus is empty: {len(documents)} file(s) at {path}, 0 bytes together. Name a text with data.path.")
    return Corpus(documents)


def is_text(relative: Path) -> bool:
    """A .txt or .md file that lies in no hidden folder."""
    return relative.suffix.lower() in TEXT_SUFFIXES and not any(part.startswith(".") for part in relative.parts)


def _read_utf8(file: Path) -> bytes:
    content = _read(file)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} isn't UTF-8 text: byte {error.start} is 0x{content[error.start]:02x} ({error.reason}).\n"
            "Convert it, for example from Latin-1: `iconv -f latin1 -t utf-8`, or move it out of data.path."
        ) from None
    return content


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}. Check its permissions.") from error
