"""A corpus, prepared once for many runs: split, fingerprinted, tokenized into three token files in a cache. Imports no torch.

The cache is keyed by the text, the tokenizer, the sizes and the code that prepares, and may be deleted at any time. What is found
there is checked whole; what is damaged is made again, with a warning, and never used. A range is stored as: mark, tokens of a
piece, mark, ...
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.data.corpora import Document
from lab.data.split import Piece, Split, fingerprint, head, n_bytes, pieces, split_documents
from lab.data.tokenfile import VERSION, TokenFile
from lab.data.tokenizers import CannotEncode, Learns, Tokenizer
from lab.errors import DataError, MachineError
from lab.files import read_json, sha256_file, sha256_of, write_json

META = "prepared.json"
CHUNK = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedData:
    """What a run trains and is judged on. `text` is the text fingerprint (no tokenizer in it), `validation` the final
    evaluation's head of the validation range, `curve` the head that the curve's points read, `tokenizer` the one that made
    the tokens (fitted, where it learns), `bits_per_byte` the entropy rate of the text's source where that is known."""

    train: TokenFile
    validation: TokenFile
    curve: TokenFile
    split: Split
    text: str
    tokenizer: Tokenizer
    bits_per_byte: float | None = None

    @property
    def vocabulary(self) -> int:
        return self.tokenizer.vocabulary

    @property
    def mark(self) -> int:
        return self.tokenizer.mark

    @property
    def token_digest(self) -> str:
        """What the tokens are, in 64 hex digits."""
        return sha256_of({"train": self.train.sha256, "validation": self.validation.sha256, "curve": self.curve.sha256})

    def verify(self) -> None:
        """Hash all files again. Raises DataError that names the file which isn't what was prepared."""
        for file in (self.train, self.validation, self.curve):
            file.verify()


def prepare(
    documents: Sequence[Document],
    validation_fraction: float,
    test_fraction: float,
    validation_bytes: int | None,
    curve_bytes: int,
    tokenizer: Tokenizer,
    cache: Path,
    *,
    bits_per_byte: float | None = None,
    code: str = "",
) -> PreparedData:
    """The prepared data, from the cache when it's there, whole.

    validation_bytes  size of the final evaluation's text; None is the whole validation range
    curve_bytes       size of the curve's text, at most the final evaluation's
    tokenizer         one that learns is fitted to the training range first
    cache             folder in which each preparation has a folder of its own
    bits_per_byte     the entropy rate of the text's source, handed through
    code              a digest of the code that prepares: what older code has prepared is not found

    Raises DataError when the corpus is smaller than asked or the tokenizer refuses it, MachineError when the cache can't be
    written. Safe to call from several processes at once: each writes whole files, and the same ones.
    """
    split = split_documents(documents, validation_fraction, test_fraction)
    train = pieces(documents, 0, split.train_end)
    validation = pieces(documents, split.train_end, split.validation_end)
    text = fingerprint(train, validation, split)
    tokenizer = _fitted(tokenizer, train)
    final = validation if validation_bytes is None else _head(validation, validation_bytes)
    ranges = {"train": train, "validation": final, "curve": head(final, curve_bytes)}
    made_from = {
        "format": VERSION,
        "text": text,
        "tokenizer": tokenizer_identity(tokenizer),
        "validation_bytes": validation_bytes,
        "curve_bytes": curve_bytes,
        "code": code,
    }
    folder = cache / sha256_of(made_from)[:32]
    files = _find(folder, ranges, made_from, tokenizer) or _make(folder, ranges, made_from, tokenizer)
    return PreparedData(**files, split=split, text=text, tokenizer=tokenizer, bits_per_byte=bits_per_byte)


def require_length(prepared: PreparedData, context: int, block: int) -> None:
    """Raise DataError when the data is too short for windows of `context` tokens or evaluation blocks of `block` tokens."""
    needs = {
        # two contexts: a window, and room for the phase that each epoch starts at (see batches.py)
        "training": (prepared.train.n_tokens, 2 * context),
        "validation": (prepared.validation.n_tokens, max(context, block) + 1),
    }
    for name, (found, needed) in needs.items():
        if found < needed:
            raise DataError(
                f"the {name} range has {found} tokens; with model.context={context} and trainer.evaluation.block={block} "
                f"it must have at least {needed}.\nGive a longer text or a larger share, or a shorter context."
            )


def tokenizer_identity(tokenizer: Tokenizer) -> dict[str, Any]:
    """What decides a tokenizer's tokens: its class, its arguments, the file it is written in."""
    kind: type[object] = type(tokenizer)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not is_dataclass(kind):
        raise DataError(f"the tokenizer {name} isn't a dataclass, so its arguments can't be told. Make it a frozen dataclass.")
    try:
        source = sha256_file(Path(inspect.getfile(kind)))
    except (OSError, TypeError) as error:
        raise DataError(f"the tokenizer {name} isn't written in a file, so a change of it couldn't be seen. Move it to one.") from error
    return {"class": name, "arguments": {each.name: getattr(tokenizer, each.name) for each in fields(kind)}, "source": source}


def _fitted(tokenizer: Tokenizer, train: Sequence[Piece]) -> Tokenizer:
    """The tokenizer itself, or what it learns from the training range."""
    if not isinstance(tokenizer, Learns):
        return tokenizer
    return tokenizer.fitted(piece.content for piece in train)


def _head(validation: list[Piece], size: int) -> list[Piece]:
    found = n_bytes(validation)
    if found < size:
        raise DataError(
            f"corpus smaller than asked: trainer.evaluation.bytes is {size}, and the validation range has {found} bytes.\n"
            "Ask for fewer (null: all of it), give a longer text, or raise data.validation_fraction."
        )
    return head(validation, size)


def _find(folder: Path, ranges: Mapping[str, list[Piece]], made_from: dict[str, Any], tokenizer: Tokenizer) -> dict[str, TokenFile] | None:
    """The token files of an earlier preparation, or None when there is none or it can't be used; then a warning says why."""
    if not (folder / META).exists():
        return None
    files: dict[str, TokenFile] = {}
    try:
        meta = read_json(folder / META)
        if meta["made_from"] != made_from:
            raise DataError(f"{META} tells of another text, tokenizer or size than its folder's name")
        for name, text in ranges.items():
            entry = meta["files"][name]
            file = TokenFile(folder / f"{name}.tokens", entry["sha256"], entry["n_tokens"], n_bytes(text))
            file.verify()
            tokens_T = TokenFile.open(file.path)
            if (tokens_T.dtype, len(tokens_T)) != (tokenizer.dtype, file.n_tokens):
                raise DataError(f"{file.path} holds {len(tokens_T)} tokens of {tokens_T.dtype}, {META} tells of {file.n_tokens}")
            files[name] = file
    except (DataError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the prepared data in %s is damaged and is made again: %s: %s", folder, type(error).__name__, error)
        return None
    return files


def _make(folder: Path, ranges: Mapping[str, list[Piece]], made_from: dict[str, Any], tokenizer: Tokenizer) -> dict[str, TokenFile]:
    """Tokenize and write; the file that makes the folder count comes last."""
    files: dict[str, TokenFile] = {}
    try:
        for name, text in ranges.items():
            path = folder / f"{name}.tokens"
            tokens_T = encode(text, tokenizer)
            TokenFile.write(path, tokens_T, tokenizer.vocabulary)
            files[name] = TokenFile(path, sha256_file(path), len(tokens_T), n_bytes(text))
        entries = {name: {"sha256": file.sha256, "n_tokens": file.n_tokens} for name, file in files.items()}
        write_json(folder / META, {"made_from": made_from, "files": entries})
    except OSError as error:
        raise MachineError(f"can't write prepared data to {folder}: {error.strerror}. Free or allow that folder.") from error
    return files


def encode(text: Sequence[Piece], tokenizer: Tokenizer) -> npt.NDArray[Any]:
    """Mark, tokens, mark, tokens, ...; shape (T,). Holds the tokenizer to its contract: nothing of the text may get lost."""
    mark = np.array([tokenizer.mark], dtype=tokenizer.dtype)
    length_V = tokenizer.bytes_per_token()
    parts = []
    for piece in text:
        try:
            tokens_T = tokenizer.encode(piece.content)
        except CannotEncode as error:
            raise DataError(
                f"the tokenizer {type(tokenizer).__name__} can't take '{piece.name}': {error.reason} (byte {piece.start + error.offset}).\n"
                "Use one that takes any text (`data/tokenizer=bytes`), or leave that document out."
            ) from error
        counted = sum(int(length_V[tokens_T[at : at + CHUNK]].sum()) for at in range(0, len(tokens_T), CHUNK))
        if tokens_T.dtype != tokenizer.dtype or counted != len(piece.content) or tokenizer.decode(tokens_T) != piece.content:
            raise DataError(
                f"the tokenizer {type(tokenizer).__name__} loses text: '{piece.name}' has {len(piece.content)} bytes from byte "
                f"{piece.start} on, and its {len(tokens_T)} tokens of {tokens_T.dtype} stand for {counted} or for others.\n"
                "Bits per byte would mean nothing; correct the tokenizer, or use `data/tokenizer=bytes`."
            )
        parts += [mark, tokens_T]
    return np.concatenate(parts)
