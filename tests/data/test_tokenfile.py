"""Token files: what is written comes back, and what is not whole is never used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lab.data.tokenfile import FIELDS, HEADER, MAGIC, VERSION, TokenFile
from lab.errors import DataError
from lab.files import sha256_file

TOKENS = {dtype: (np.arange(300) % 100).astype(dtype) for dtype in (np.uint8, np.uint16)}


def written(path: Path, dtype: type = np.uint16) -> Path:
    TokenFile.write(path, TOKENS[dtype], 257)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tokens_come_back_as_a_read_only_memory_map(tmp_path: Path, dtype: type) -> None:
    tokens = TokenFile.open(written(tmp_path / "t", dtype))
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == dtype
    assert np.array_equal(tokens, TOKENS[dtype])
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_the_file_is_little_endian_with_its_count_in_the_header(tmp_path: Path) -> None:
    content = written(tmp_path / "t").read_bytes()
    assert content[:8] == b"OBSTOKEN"
    assert int.from_bytes(content[16:24], "little") == 300
    assert int.from_bytes(content[24:32], "little") == 257
    assert content[64:70] == b"\0\0\1\0\2\0"


def test_every_flipped_bit_is_detected(tmp_path: Path) -> None:
    path = written(tmp_path / "t")
    content = path.read_bytes()
    random = np.random.default_rng(0)
    places = [*range(HEADER), *random.integers(HEADER, len(content), 60).tolist()]
    missed = []
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            TokenFile.open(path)
            missed.append(place)
        except DataError as error:
            assert str(path) in str(error)
    print(f"{len(places)} flips, {len(missed)} missed")
    assert not missed


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 300, 663])
def test_a_truncated_file_is_detected(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "t")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=f"{size} bytes"):
        TokenFile.open(path)


def test_a_longer_file_is_detected(tmp_path: Path) -> None:
    path = written(tmp_path / "t")
    path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(DataError, match="666 bytes, and its header tells of 300 tokens, which take 664"):
        TokenFile.open(path)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"magic": b"NUMPYFMT"}, "no token file"),
        ({"version": 9}, "format version 9, this lab reads 1"),
        ({"code": 7}, "dtype code 7, known are 1, 2"),
        ({"zero": 1}, "dtype code"),
        ({"count": 299}, "tells of 299 tokens"),
        ({"vocabulary": 99}, "aren't all below its vocabulary of 99"),
    ],
)
def test_each_field_of_a_foreign_file_has_its_message_even_when_the_digest_fits(
    tmp_path: Path, field: dict[str, int], message: str
) -> None:
    header = {"magic": MAGIC, "version": VERSION, "code": 2, "zero": 0, "count": 300, "vocabulary": 257} | field
    fields, payload = FIELDS.pack(*header.values()), TOKENS[np.uint16].tobytes()
    (tmp_path / "t").write_bytes(fields + hashlib.sha256(fields + payload).digest() + payload)
    with pytest.raises(DataError, match=message):
        TokenFile.open(tmp_path / "t")


def test_a_missing_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read token file .*nothing: No such file(.|\n)*the next run makes it again"):
        TokenFile.open(tmp_path / "nothing")


def test_verify_names_the_file_that_moved(tmp_path: Path) -> None:
    path = written(tmp_path / "t")
    file = TokenFile(path, sha256_file(path), 300, 300)
    file.verify()
    TokenFile.write(path, TOKENS[np.uint16][::-1], 257)
    with pytest.raises(DataError, match=f"{path} can't be used: its digest was {file.sha256[:12]}"):
        file.verify()
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        file.verify()
