"""The tiny Shakespeare text: downloaded once, known by its digest, kept in the cache. Never leaves half a file, cleans nothing up.

A file that lies there already is used and never replaced: on a machine without a network, put it there by hand.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.request
from pathlib import Path

from lab.data.corpora import Corpus, Document
from lab.errors import DataError, MachineError
from lab.files import write_file

NAME = "tinyshakespeare.txt"
# No setting: the digest says which text it is, so that the same text from another place is no other run.
ADDRESS = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
# seconds without a byte, seconds for the whole, bytes: the text has 1.1 MB, more is another one
SILENCE, PATIENCE, LARGEST = 20, 120, 8 << 20
CHUNK = 1 << 16


def tiny_shakespeare(path: Path | None, cache: Path, sha256: str, url: str = ADDRESS) -> Corpus:
    """The text as one document: the file at `path`, else the one in the cache, else downloaded from `url` into the cache.

    Raises DataError when the text can't be had (what was tried, and where to put it), or its SHA-256 isn't `sha256`.
    """
    place = path or cache / "texts" / NAME
    if path or place.exists():
        content = _read(place)
        _require_digest(content, sha256, f"{place}", "Delete it and start again" if not path else "Correct data.path")
        return Corpus([Document(NAME, content)])
    by_hand = f"put the text at {place.absolute()}, or name a copy of it: `data.path=FILE`."
    content = _download(url, by_hand)
    _require_digest(content, sha256, f"what {url} sent", by_hand.rstrip("."))
    try:
        write_file(place, content)
    except OSError as error:
        raise MachineError(f"can't write {place}: {error.strerror}. Free or allow that folder.") from error
    return Corpus([Document(NAME, content)])


def _download(url: str, by_hand: str) -> bytes:
    """What lies at the address, whole."""
    content, end = bytearray(), time.monotonic() + PATIENCE
    try:
        with urllib.request.urlopen(url, timeout=SILENCE) as response:
            while chunk := response.read1(CHUNK):  # what has come: read() waits for the whole chunk, and no clock is looked at
                content += chunk
                if len(content) > LARGEST:
                    raise OSError(f"more than {LARGEST} bytes came, the text has about 1.1 million")
                if time.monotonic() > end:
                    raise OSError(f"{len(content)} bytes came in {PATIENCE} seconds")
            # a connection that is cut reads as an end: only the announced length tells
            announced = response.headers.get("Content-Length")
        if announced is not None and len(content) != int(announced):
            raise OSError(f"the connection was cut after {len(content)} of {announced} bytes")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(
            f"the tiny Shakespeare text couldn't be downloaded from {url}: {error}\n"
            f"Nothing was kept: try again. Or without a network: {by_hand}"
        ) from error
    return bytes(content)


def _require_digest(content: bytes, sha256: str, what: str, way_out: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{what} isn't the tiny Shakespeare text: {len(content)} bytes with SHA-256 {found}, not {sha256}.\n"
            f"{way_out}. For another text: `data=text data.path=FILE_OR_FOLDER`."
        )


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {place}: {error.strerror}. Correct data.path, or its permissions.") from error
