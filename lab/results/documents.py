"""What each document of a run's final evaluation cost: documents.json, read on demand. Knows no statistics."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from lab.files import json_object, limited, read_sealed
from lab.results.fields import Unreadable, number, read_object, require_schema, whole
from lab.results.record import DOCUMENTS

Documents = tuple[list[int], list[float]]


def read_documents(folder: Path, digest: str | None) -> Documents | None:
    """Bytes and nats of each document; None where a run has none. Raises Unreadable with the reason.

    `digest`: the file's when the run finished, where its result tells it; then no other run's file can stand in its place.
    """
    path = folder / DOCUMENTS
    if digest is None and not path.exists():
        return None
    content = read_object(path, lambda path: read_sealed(path) if digest is None else read_held(path, digest))
    require_schema(content, DOCUMENTS)
    sizes, nats = content.get("bytes"), content.get("nats")
    if not isinstance(sizes, list) or not isinstance(nats, list) or len(sizes) != len(nats):
        raise Unreadable(f"{DOCUMENTS}: 'bytes' and 'nats' aren't two lists of one length")
    if any(whole(size) is None for size in sizes) or any(number(cost) is None for cost in nats):
        raise Unreadable(f"{DOCUMENTS}: an entry isn't a number")
    return sizes, [float(cost) for cost in nats]


def read_held(path: Path, digest: str) -> dict[str, Any]:
    """A JSON object from a file that a sealed one vouches for. Raises ValueError with the path when it isn't that."""
    content = limited(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{path} isn't what it was when the run finished")
    return json_object(path, content)
