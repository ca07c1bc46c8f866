"""Processes of our own: which code and which paths a child gets. Starts none."""

from __future__ import annotations

import os
from pathlib import Path


def with_code(code: Path, **more: str) -> dict[str, str]:
    """This process's environment, and `more`, for a child that runs the lab/ in `code`; the user's PYTHONPATH comes behind it."""
    return {**os.environ, **more, "PYTHONPATH": search_path(code)}


def search_path(code: Path) -> str:
    """PYTHONPATH with a folder before what it holds now."""
    return os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
