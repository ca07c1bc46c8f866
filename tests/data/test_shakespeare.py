"""The downloaded text: what is fetched, checked and kept, and what a user is told when it can't be had."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from lab.data import shakespeare as text_of_shakespeare
from lab.data.corpora import Document
from lab.data.prepare import prepare
from lab.data.shakespeare import LARGEST, NAME, tiny_shakespeare
from lab.data.tokenizers.char import Char
from lab.errors import DataError, MachineError

TEXT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 2000
SHA256 = hashlib.sha256(TEXT).hexdigest()
OTHER = b"another text"


class Pages(BaseHTTPRequestHandler):
    """A small site: the text, other texts, nothing, a connection that is cut, and ways to the text."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/text")
            self.end_headers()
            return
        page = {"/text": TEXT, "/other": OTHER, "/cut": TEXT, "/drip": TEXT, "/long": b"x" * (LARGEST + 1)}.get(self.path)
        if page is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.path == "/drip":
            self.drip(page)
        else:
            self.wfile.write(page[: len(page) // 2] if self.path == "/cut" else page)

    def drip(self, page: bytes) -> None:
        """A byte now and then, for two seconds or until nobody listens."""
        with suppress(OSError):
            for place in range(100):
                self.wfile.write(page[place : place + 1])
                time.sleep(0.02)

    def log_message(self, *words: object) -> None: ...


class Site(ThreadingHTTPServer):
    """The pages and which of them were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.asked: list[str] = []

    def page(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


@contextmanager
def serving() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as it:
        yield it


def place(cache: Path) -> Path:
    return cache / "texts" / NAME


@pytest.mark.parametrize("page", ["text", "moved"])
def test_the_text_is_fetched_once_and_kept(site: Site, tmp_path: Path, page: str) -> None:
    for _ in range(2):
        corpus = tiny_shakespeare(None, tmp_path, SHA256, site.page(page))
        assert corpus.documents == [Document(NAME, TEXT)]
        assert corpus.bits_per_byte is None
    assert site.asked.count("/text") == 1
    assert place(tmp_path).read_bytes() == TEXT


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            "other",
            rf"/other sent isn't the tiny Shakespeare text: 12 bytes with SHA-256 {hashlib.sha256(OTHER).hexdigest()}, not {SHA256}",
        ),
        ("nothing", r"/nothing: HTTP Error 404"),
        ("cut", rf"the connection was cut after {len(TEXT) // 2} of {len(TEXT)} bytes"),
        ("long", rf"more than {LARGEST} bytes came"),
    ],
)
def test_a_download_that_fails_keeps_nothing_and_tells_the_place(site: Site, tmp_path: Path, page: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        tiny_shakespeare(None, tmp_path, SHA256, site.page(page))
    assert str(place(tmp_path)) in str(refusal.value)
    assert "data.path=FILE" in str(refusal.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tiny_shakespeare(None, tmp_path, SHA256, site.page("text")).documents[0].content == TEXT


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_of_shakespeare, "PATIENCE", 0.3)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"/drip: \d+ bytes came in 0\.3 seconds(.|\n)*Nothing was kept"):
        tiny_shakespeare(None, tmp_path, SHA256, site.page("drip"))
    assert time.monotonic() - began < 1.5


def test_without_a_server_the_message_says_what_was_tried_and_where_to_put_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as gone:
        url = gone.page("text")
    told = rf"from {re.escape(url)}: (.|\n)*refused(.|\n)*put the text at {re.escape(str(place(tmp_path)))}(.|\n)*data\.path=FILE"
    with pytest.raises(DataError, match=told):
        tiny_shakespeare(None, tmp_path, SHA256, url)
    place(tmp_path).parent.mkdir()
    place(tmp_path).write_bytes(TEXT)
    assert tiny_shakespeare(None, tmp_path, SHA256, url).documents[0].content == TEXT


def test_a_file_that_is_named_is_read_where_it_is(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(TEXT)
    assert tiny_shakespeare(tmp_path / "mine.txt", tmp_path / "cache", SHA256, site.page("text")).documents == [Document(NAME, TEXT)]
    assert not site.asked
    assert not (tmp_path / "cache").exists()


def test_another_file_in_its_place_is_refused_and_left_alone(site: Site, tmp_path: Path) -> None:
    place(tmp_path).parent.mkdir()
    place(tmp_path).write_bytes(TEXT[:-1])
    found = hashlib.sha256(TEXT[:-1]).hexdigest()
    for path, way_out in ((None, "Delete it"), (place(tmp_path), "Correct data.path")):
        with pytest.raises(DataError, match=rf"SHA-256 {found}, not {SHA256}(.|\n)*{way_out}(.|\n)*data=text"):
            tiny_shakespeare(path, tmp_path, SHA256, site.page("text"))
    assert not site.asked
    assert place(tmp_path).read_bytes() == TEXT[:-1]


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read .*nowhere\.txt: No such file(.|\n)*data\.path"):
        tiny_shakespeare(tmp_path / "nowhere.txt", tmp_path, SHA256)


def test_a_cache_whose_place_is_taken_is_the_machines_fault(site: Site, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("in the way")
    with pytest.raises(MachineError, match="can't write"):
        tiny_shakespeare(None, tmp_path, SHA256, site.page("text"))


def test_the_real_text_has_the_digest_of_the_option_file_and_65_characters(shakespeare: Document, tmp_path: Path) -> None:
    option = Path(__file__).parents[2] / "conf" / "data" / "shakespeare.yaml"
    corpus = yaml.safe_load(option.read_text())["corpus"]
    assert set(corpus) == {"_target_", "sha256"}, "what decides the text is its digest, and no address"
    assert hashlib.sha256(shakespeare.content).hexdigest() == corpus["sha256"]
    data = prepare([shakespeare], 0.1, 0.05, None, 1000, Char(None), tmp_path)
    assert data.vocabulary == 66
