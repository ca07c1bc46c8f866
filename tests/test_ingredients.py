"""The worked study that ships: its pages show the numbers of its report, and the report is of the pin and the arms that ship."""

import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lab.ablate.lock import load_pin
from lab.results.wording import shown

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
REPORT = DOCS / "ingredients" / "report.json"


def facts() -> dict[str, object]:
    read: dict[str, object] = json.loads(REPORT.read_text())
    return read


def rows(page: Path) -> dict[str, tuple[str, ...]]:
    """The lines of a page's table whose first cell is an arm, by that cell."""
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in page.read_text().splitlines() if line.startswith("|")]
    return {line[0]: line[1:] for line in cells if "=" in line[0]}


def test_the_report_that_ships_is_of_the_pin_that_ships() -> None:
    assert facts()["rules"]["lock"] == load_pin(CHECKOUT, "ingredients").sha256, "pinned anew: the study's report is of another baseline"


def test_it_judges_the_arms_that_the_study_declares() -> None:
    (section,) = facts()["sections"]
    declared = OmegaConf.to_object(OmegaConf.load(CHECKOUT / "conf/study/ingredients.yaml"))["arms"]
    assert sorted(shown(arm["label"]) for arm in section["arms"]) == sorted(shown(arm) for arm in declared)
    assert [arm["n"] for arm in section["arms"]] == [8] * 13


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", DOCS / "ingredients.md"], ids=lambda page: page.name)
def test_a_page_shows_the_numbers_of_the_report(page: Path) -> None:
    (section,) = facts()["sections"]
    arms = {shown(arm["label"]): arm for arm in section["arms"]}
    shown_rows = {label: cells for label, cells in rows(page).items() if label in arms}
    assert len(shown_rows) == (13 if page.name == "ingredients.md" else 6)
    for label, (difference, interval, p, verdict) in shown_rows.items():
        arm = arms[label]
        written = [f"{arm[name]:+.{arm['decimals']}f}" for name in ("difference", "low", "high")]
        assert (difference, interval) == (written[0], f"{written[1]} to {written[2]}")
        assert p == ("< 0.001" if arm["p"] < 0.001 else f"{arm['p']:.3f}")
        assert verdict == arm["said"]


def test_what_the_page_tells_of_single_arms_is_what_the_report_measured() -> None:
    (section,) = facts()["sections"]
    arms = {arm["label"]: arm for arm in section["arms"]}
    text = (DOCS / "ingredients.md").read_text()
    assert f"{section['smallest_effect']:.2g}" in text
    for label in ("hooks=z_loss", "model/norm=rmsnorm", "model/norm=none"):
        gain = arms[label]["gain"]
        assert f"by {gain:.1f}" in text or f"by {gain:.0f}" in text, label
    rope = arms["model/position=rope"]["documents"]
    assert f"over documents is {rope['error']:.2g}, over seeds {rope['seed_error']:.2g}" in text
    assert re.search(rf"about {21} seeds would tell", text)
    assert "about 21 seeds would settle it" in arms["model/norm=rmsnorm"]["reading"]
