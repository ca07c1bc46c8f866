"""Text from outside (a label, a note, a folder's name) as a terminal may be given it. Knows no run and no markup."""

from __future__ import annotations


def plain(text: str) -> str:
    """Text on one line that a terminal shows as it is: unprintable characters, an escape among them, by their codes."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)
