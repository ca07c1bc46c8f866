"""One file of tokens: written once, mapped into memory by every run, never used unless it is whole. Imports no torch.

bytes  0-7   magic         16-23  count of tokens
       8-9   version       24-31  vocabulary: every token is below it
      10-11  dtype code    32-63  SHA-256 of bytes 0-31 and the payload
      12-15  zero          64-    payload, little-endian like every number here
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.errors import DataError
from lab.files import sha256_file, write_file

MAGIC = b"OBSTOKEN"
VERSION = 1
FIELDS = struct.Struct("<8sHHIQQ")
HEADER = FIELDS.size + 32
DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<u1"), 2: np.dtype("<u2")}


@dataclass(frozen=True)
class TokenFile:
    """A token file as it was when it was prepared: its place, the SHA-256 of the whole file, its tokens and bytes of text."""

    path: Path
    sha256: str
    n_tokens: int
    n_bytes: int

    @staticmethod
    def write(path: Path, tokens_T: npt.NDArray[Any], vocabulary: int) -> None:
        """Write tokens of dtype uint8 or uint16 durably, replacing what was there at once."""
        code = next(code for code, dtype in DTYPES.items() if dtype == tokens_T.dtype)
        assert tokens_T.ndim == 1 and len(tokens_T) > 0, "a token file holds at least a mark"
        assert int(tokens_T.max()) < vocabulary, "token outside the vocabulary"
        fields = FIELDS.pack(MAGIC, VERSION, code, 0, len(tokens_T), vocabulary)
        payload = tokens_T.astype(DTYPES[code], copy=False).tobytes()
        digest = hashlib.sha256(fields)
        digest.update(payload)
        write_file(path, b"".join((fields, digest.digest(), payload)))

    @staticmethod
    def open(path: Path) -> npt.NDArray[Any]:
        """The tokens, shape (T,), as a read-only memory map. Raises DataError when the file is missing, foreign or damaged."""
        try:
            size = path.stat().st_size
            if size < HEADER:
                raise _damaged(path, f"{size} bytes, and the header alone has {HEADER}")
            raw = np.memmap(path, dtype=np.uint8, mode="r")
        except OSError as error:
            raise DataError(f"can't read token file {path}: {error.strerror}. Delete it: the next run makes it again.") from error
        magic, version, code, zero, count, vocabulary = FIELDS.unpack(raw[: FIELDS.size].tobytes())
        if magic != MAGIC:
            raise _damaged(path, f"it starts with {magic!r}, not {MAGIC!r}: no token file")
        if version != VERSION:
            raise _damaged(path, f"format version {version}, this lab reads {VERSION}")
        if code not in DTYPES or zero:
            raise _damaged(path, f"dtype code {code}, known are {', '.join(map(str, DTYPES))}")
        expected = HEADER + count * DTYPES[code].itemsize
        if len(raw) != expected:
            raise _damaged(path, f"{len(raw)} bytes, and its header tells of {count} tokens, which take {expected}")
        digest = hashlib.sha256(raw[: FIELDS.size].data)
        digest.update(raw[HEADER:].data)
        if digest.digest() != raw[FIELDS.size : HEADER].tobytes():
            raise _damaged(path, "its digest isn't that of its content")
        tokens_T: npt.NDArray[Any] = raw[HEADER:].view(DTYPES[code])
        if count == 0 or int(tokens_T.max()) >= vocabulary:
            raise _damaged(path, f"its {count} tokens aren't all below its vocabulary of {vocabulary}")
        return tokens_T

    def verify(self) -> None:
        """Hash the file again. Raises DataError when it isn't what was prepared."""
        try:
            found = sha256_file(self.path)
        except OSError as error:
            raise DataError(f"can't read token file {self.path}: {error.strerror}. Delete it: the next run makes it again.") from error
        if found != self.sha256:
            raise _damaged(self.path, f"its digest was {self.sha256[:12]} when it was prepared and is {found[:12]} now")


def _damaged(path: Path, found: str) -> DataError:
    return DataError(f"token file {path} can't be used: {found}. Delete it: the next run makes it again.")
