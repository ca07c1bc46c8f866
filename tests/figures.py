"""Figures measured by simulation, each beside what is demanded of it. `make test` prints them at its end (tests/conftest.py).

docs/the-statistics.md and docs/designs.md hold the same figures in their tables, and each is compared with what is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = (DOCS / "the-statistics.md", DOCS / "designs.md")
DRIFT = 0.003  # what another version of numpy may make of the last digits


@dataclass(frozen=True)
class Row:
    measured: str
    demanded: str


def rows_of(pages: Sequence[Path] = PAGES) -> dict[str, Row]:
    """The pages' tables of figures, by name."""
    lines = [line for page in pages for line in page.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    return {name: Row(measured, demanded) for name, measured, demanded in (row for row in cells if len(row) == 3)}


@dataclass(frozen=True)
class Figures:
    """Each figure is recorded before it is checked, so that the table shows those that fail too."""

    record: Callable[[str, object], None]  # pytest's record_property
    page: Mapping[str, Row] | None  # None: figures of a longer run, which the page doesn't hold

    def within(self, name: str, measured: float, low: float, high: float) -> None:
        self._tell(name, measured, f"{low:g} to {high:g}")
        assert low <= measured <= high, f"{name}: {shown(measured)} is not within {low:g} to {high:g}"

    def at_most(self, name: str, measured: float, bound: float) -> None:
        self._tell(name, measured, f"at most {bound:g}")
        assert measured <= bound, f"{name}: {shown(measured)} is more than {bound:g}"

    def at_least(self, name: str, measured: float, bound: float) -> None:
        self._tell(name, measured, f"at least {bound:g}")
        assert measured >= bound, f"{name}: {shown(measured)} is less than {bound:g}"

    def known_failure(self, name: str, measured: float, low: float, high: float) -> None:
        """What a naive rule is for: it must be seen to fail as it is known to."""
        self.within(f"naive rule (must fail): {name}", measured, low, high)

    def _tell(self, name: str, measured: float, demanded: str) -> None:
        self.record("figures", (name, shown(measured), demanded))
        if self.page is None:
            return
        line = f"| {name} | {shown(measured)} | {demanded} |"
        assert name in self.page, f"docs/ lacks the line\n{line}"
        row = self.page[name]
        close = abs(float(row.measured) - measured) <= DRIFT
        assert close and row.demanded == demanded, f"docs/ says {row.measured}, {row.demanded}; it should say\n{line}"


def shown(figure: float) -> str:
    return f"{figure:.4f}" if isinstance(figure, float) else str(figure)
