"""The report in a terminal: never wider than it, short, and every word there at every width."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from lab.results.forms.prose import paragraph
from lab.results.forms.terminal import LONG, print_report, to_terminal

from . import worlds

WIDTHS = (60, 76, 80, 100, 120, 160)


def widest(text: str) -> int:
    """Of the lines that aren't commands: those are never wrapped, so that they can be copied."""
    return max(len(line) for line in text.splitlines() if not line.startswith("  python "))


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_but_a_command_is_wider_than_the_terminal(width: int) -> None:
    for facts in (worlds.every_verdict(), worlds.two_cohorts(), worlds.hostile(), worlds.empty()):
        assert widest(to_terminal(facts, width)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_arms_paragraph_is_there_whole(width: int) -> None:
    text = " ".join(to_terminal(worlds.every_verdict(), width).split())
    for arm in worlds.every_verdict().sections[0].arms:
        assert paragraph(arm) in text


def test_a_narrow_terminal_keeps_the_verdict_and_drops_costs() -> None:
    narrow, wide = (to_terminal(worlds.every_verdict(), width) for width in (60, 160))
    assert "verdict" in narrow
    assert "FLOPs/token" not in narrow
    assert "FLOPs/token" in wide


def test_a_command_stands_on_one_line_however_narrow() -> None:
    (command,) = worlds.empty().sections[0].advice
    assert f"\n  {command}\n" in to_terminal(worlds.empty(), 60)


@pytest.mark.parametrize(("count", "folded"), [(LONG, False), (LONG + 1, True)])
def test_a_long_list_is_only_counted(count: int, folded: bool) -> None:
    facts = worlds.facts(lists={"Left out": tuple(f"run {index}" for index in range(count))})
    text = to_terminal(facts)
    assert ("- run 0" in text) is not folded
    assert (f"{count} entries: --format md shows them" in text) is folded


@pytest.mark.parametrize(("count", "folded"), [(LONG, False), (LONG + 1, True)])
def test_many_commands_are_only_counted(count: int, folded: bool) -> None:
    text = to_terminal(worlds.facts(worlds.section(*(worlds.arm(f"model.width={index}") for index in range(count)))))
    assert (f"{count} commands: --format md shows them" in text) is folded
    assert ("  python run.py --multirun baseline=demo model.width=0 seed=5,6,7\n" in text) is not folded


def test_arms_that_share_the_same_with_the_baseline_have_one_line() -> None:
    text = " ".join(to_terminal(worlds.facts(worlds.section(worlds.arm("hooks=a"), worlds.arm("hooks=b")))).split())
    assert "- hooks=a, hooks=b: 41 of 43 tensors start equal, 400 of 400 batches are the same" in text


def test_several_cohorts_have_a_heading_each_and_one_has_none() -> None:
    assert "cuda sm_90, torch 2.13: another cohort, never mixed with the first (device: cpu -> cuda)" in to_terminal(
        worlds.two_cohorts(), 120
    )
    assert "(this machine)" not in to_terminal(worlds.every_verdict())


def test_markup_in_a_name_stays_text() -> None:
    assert "[red]x[/red]" in to_terminal(worlds.hostile(), 160)


def test_a_console_which_wraps_nothing_itself_loses_no_words_and_keeps_its_width() -> None:
    stream = io.StringIO()
    print_report(worlds.every_verdict(), Console(file=stream, width=60, force_terminal=False, soft_wrap=True))
    assert stream.getvalue() == to_terminal(worlds.every_verdict(), 60)


def test_colour_adds_no_word() -> None:
    stream = io.StringIO()
    print_report(worlds.every_verdict(), Console(file=stream, width=100, force_terminal=True, color_system="standard", no_color=False))
    assert "\x1b[" in stream.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) == to_terminal(worlds.every_verdict(), 100)
