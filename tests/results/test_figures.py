"""The figures as files: the same bytes twice, hostile names as text, nobody else's settings touched."""

from __future__ import annotations

import builtins
import hashlib
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from lab.errors import LabError
from lab.results.facts import VERDICTS
from lab.results.figures import write_figures
from lab.results.plots import LOOKS, spread_over, thousands, window, wrapped

from .forms import worlds

THREE = ["forest.png", "forest.svg", "curves.png", "curves.svg", "loss-against-flops.png", "loss-against-flops.svg"]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_report_gives_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    facts = worlds.two_cohorts()
    names = [path.name for path in write_figures(tmp_path / "a", facts, worlds.curves(facts))]
    assert names == THREE + [name.replace(".", "-dddddddd.") for name in THREE]
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "none", "axes.facecolor": "red"}):
        write_figures(tmp_path / "b", facts, worlds.curves(facts))
        assert matplotlib.rcParams["font.size"] == 30
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert b"<dc:date>" not in (tmp_path / "a/forest.svg").read_bytes()
    assert b"Software" not in (tmp_path / "a/forest.png").read_bytes()


def test_hostile_names_are_neither_mathematics_nor_markup(tmp_path: Path) -> None:
    facts = worlds.hostile()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figures(tmp_path, facts, worlds.curves(facts))
    text = (tmp_path / "forest.svg").read_text()
    assert "<script" not in text
    assert "<img" not in text


def test_a_sign_that_the_font_lacks_warns_nobody(tmp_path: Path) -> None:
    facts = worlds.facts(worlds.section(worlds.arm("hooks=漢字")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = write_figures(tmp_path, facts, {"c" * 64: ()})
    assert [path.name for path in written] == THREE[:2]


def test_an_empty_report_draws_nothing(tmp_path: Path) -> None:
    assert write_figures(tmp_path / "figures", worlds.empty(), worlds.curves(worlds.empty())) == []


def test_without_matplotlib_a_user_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(name)
        return kept(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(LabError, match=r"pip install 'observatory-lab\[figures\]'"):
        write_figures(tmp_path, worlds.every_verdict(), worlds.curves(worlds.every_verdict()))


def test_every_verdict_has_a_look() -> None:
    assert tuple(LOOKS) == VERDICTS


def test_names_at_the_margin_keep_their_order_and_their_distance() -> None:
    spread = spread_over([0.5, 0.5, 0.9, 0.5, 0.1], 0.0, 1.0)
    assert spread[4] < spread[0] < spread[1] < spread[3] < spread[2] <= 1.0
    assert min(later - sooner for sooner, later in zip(sorted(spread), sorted(spread)[1:], strict=False)) > 0.07


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (1_250_000, "1.25M"), (3.84e15, "3.84P")])
def test_counts_are_written_in_thousands(value: float, text: str) -> None:
    assert thousands(value) == text


def test_a_long_name_is_cut_with_a_mark() -> None:
    assert wrapped("x" * 100, 10) == f"{'x' * 10}\n{'x' * 9}…"


def test_the_steep_start_of_the_curves_is_out_of_the_window() -> None:
    low, high = window([worlds.curve("a", 0.0), worlds.curve("b", -0.05)])
    points = worlds.curve("a", 0.0).points
    assert points[0].mean > high > points[2].high
    assert low < points[-1].low
