"""Counts of planted cases: how many ran, how many came out badly. `make test` prints them at its end (tests/conftest.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Cases:
    """One kind of case. Each is checked by name; the verdict on all comes last, so that one bad case hides no other."""

    what: str
    record: Callable[[str, object], None]  # pytest's record_property
    ran: int = 0
    bad: list[str] = field(default_factory=list)
    note: str = ""

    def check(self, name: str, good: bool) -> bool:
        """Count one case. Returns whether it was good."""
        self.ran += 1
        if not good:
            self.bad.append(name)
        return good

    def all_good(self, at_least: int = 1) -> None:
        """What we promise: none was bad, and there were as many as were planned."""
        self._tell("")
        assert self.ran >= at_least, f"{self.what}: only {self.ran} cases ran, {at_least} were planned"
        assert not self.bad, f"{self.what}: {len(self.bad)} of {self.ran} cases are bad: {', '.join(self.bad[:20])}"

    def some_bad(self, at_least: int = 1) -> None:
        """What the naive way is for: it must be seen to fail, or the test couldn't fail either."""
        self._tell("naive")
        assert len(self.bad) >= at_least, f"{self.what}: the naive way passed all {self.ran} cases, so these cases show nothing"

    def _tell(self, kind: str) -> None:
        self.record("cases", (self.what, kind, self.ran, len(self.bad), self.note))
