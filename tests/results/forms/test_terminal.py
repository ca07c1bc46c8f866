"""The report in a terminal: never wider than it, short, and every word there at every width."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from lab.results.facts import Documents, Variance, Without
from lab.results.forms.grid import broken
from lab.results.forms.markdown import to_markdown
from lab.results.forms.prose import paragraph, weighty
from lab.results.forms.terminal import LONG, print_report, to_terminal
from lab.results.remarks import say_documents, say_fragile, say_variance
from lab.results.statistics import Paired

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


def test_the_answer_comes_first_and_the_rules_after_the_readings() -> None:
    text = to_terminal(worlds.every_verdict(), 100)
    places = [
        text.index(each)
        for each in ("Baseline demo", "D = 0.005", "verdict", "hooks=none: identical", "alpha 0.05", "To the next look:", "Left out")
    ]
    assert places == sorted(places)


def test_remarks_are_an_indented_paragraph_of_their_own() -> None:
    text = to_terminal(worlds.facts(worlds.section(worlds.arm("hooks=ema"))), 100)
    assert "\nhooks=ema: cannot tell, on this validation text (5 seeds).\n  Pairing divided the variance by 4.1.\n" in text


def test_a_brief_report_tells_the_verdicts_what_alters_them_and_what_went_wrong() -> None:
    remarks = ("Fragile: without seed 3 cannot tell.", "Pairing divided the variance by 4.1.")
    lists = {"Diverged": ("hooks=hot seed 0",), "Exploring (never judged)": ("wild: seeds 0, 1",)}
    facts = worlds.facts(worlds.section(worlds.arm("hooks=ema", remarks=remarks), lists=lists))
    text = to_terminal(facts, 100, brief="multirun/x/report.html")
    assert "hooks=ema: cannot tell, on this validation text (5 seeds).\n  Fragile: without seed 3 cannot tell.\n" in text
    for there in ("Baseline demo", "D = 0.005", "Diverged\n  - hooks=hot seed 0", "Left out\n  - demo/abc123"):
        assert there in text
    for elsewhere in ("Pairing", "alpha 0.05", "Exploring", "To the next look:"):
        assert elsewhere not in text
    assert text.endswith("\neverything else: multirun/x/report.html\n")


def test_the_remarks_that_a_brief_report_keeps_are_those_of_the_judge() -> None:
    remarks = (
        say_fragile((Without(3, "cannot tell", -0.1, -0.2, 0.1),), Paired(5, -0.1, 0.1, -0.2, 0.0, 0.05, 0.8, 4.0)),
        say_variance(Variance(2.7, 0.01), 0.05),
        say_documents(Documents(5, 0.03, 0.01)),
        say_documents(Documents(5, 0.01, 0.03)),
    )
    assert weighty(worlds.arm("hooks=ema", remarks=remarks)) == list(remarks[:3])


def test_a_name_breaks_after_a_sign_and_the_mean_goes_before_it_does() -> None:
    facts = worlds.facts(worlds.section(worlds.arm("trainer.optimizer.lr=0.0003", "before the first look")))
    for width in (60, 76, 80, 100):
        lines = [line.strip() for line in to_terminal(facts, width).splitlines() if line.startswith((" trainer", " optimizer", " lr="))]
        assert lines[0].startswith("trainer.optimizer.lr=0.0003 ")
    assert " mean " in to_terminal(facts, 120)
    assert " mean " not in to_terminal(facts, 76)
    assert broken("trainer.optimizer.schedule.final_share=0.0003", 20).splitlines() == [
        "trainer.optimizer.",
        "schedule.final_",
        "share=0.0003",
    ]


def test_arms_that_only_wait_for_their_first_look_have_one_paragraph() -> None:
    quiet = [replace(worlds.waiting(f"hooks={name}"), remarks=(), n=2 + index) for index, name in enumerate("abc")]
    quiet = [replace(arm, runs=arm.runs[:2]) for arm in quiet]
    odd = replace(worlds.waiting("hooks=odd"), remarks=(), runs=(worlds.run("hooks=odd", 0, status="diverged"),))
    for facts in (worlds.facts(worlds.section(*quiet, odd, worlds.arm("hooks=ema"))),):
        for text in (to_terminal(facts, 100), to_markdown(facts)):
            told = " ".join(text.split())
            assert "Before the first look (5 seeds): 3 arms, 2 to 4 seeds each;" in told
            assert "hooks=a: before the first look" not in told
            assert "hooks=odd: before the first look" in told
            assert "hooks=ema: cannot tell" in told
    alone = worlds.facts(worlds.section(quiet[0]))
    assert "hooks=a: before the first look" in to_terminal(alone, 100)
