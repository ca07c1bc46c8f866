"""Fields of a file that another process wrote, held to their types. Knows JSON; knows no run.

A field that can't be used is `Unreadable` with its name, or None where it may be missing: never a crash and never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCHEMA = 1
LARGEST_INTEGER = 2**63 - 1


class Unreadable(Exception):
    """A file of a run that can't be used, and why. Never leaves this wing: the reader turns it into a `LeftOut`."""


def read_object(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """A JSON object, or Unreadable with the file's name (never its place on this machine) and the reason."""
    try:
        return read(path)
    except FileNotFoundError as error:
        raise Unreadable(f"no {path.name}") from error
    except ValueError as error:
        raise Unreadable(str(error).replace(str(path), path.name)) from error
    except (OSError, RecursionError) as error:
        raise Unreadable(f"{path.name}: {said(error)}") from error


def said(error: BaseException) -> str:
    """What the system said, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def require_schema(value: dict[str, Any], name: str) -> None:
    if value.get("schema") != SCHEMA:
        raise Unreadable(f"{name}: schema {value.get('schema')!r}, this version reads {SCHEMA}")


def text(value: dict[str, Any], key: str, name: str) -> str:
    found = value.get(key)
    if not isinstance(found, str):
        raise Unreadable(f"{name}: {key!r} isn't text")
    return found


def table(value: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise Unreadable(f"{name}: {key!r} isn't a table")
    return found


def whole(value: Any) -> int | None:
    """A whole number that a table can hold, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_INTEGER else None


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300 or not math.isfinite(value):
        return None
    return float(value)


def numbers(values: Any) -> dict[str, float | None]:
    """The numbers of a table; text and nested tables are dropped, non-finite numbers are None."""
    if not isinstance(values, dict):
        return {}
    return {str(key): number(value) for key, value in values.items() if value is None or isinstance(value, (int, float))}
