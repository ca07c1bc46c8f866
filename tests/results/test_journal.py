"""The lab journal: every arm ever tried, with why, what happened and what was concluded; negative results beside positive ones."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from lab.errors import StoreError
from lab.results.collect import load
from lab.results.forms.journal import journal_to_markdown, print_journal
from lab.results.journal import Journal, reader, said_of, write_journal
from lab.results.named import arm_named, arms_of
from lab.store.conclusions import conclude, read_conclusions

from .store import Store


def journal(store: Store, baseline: str = "*") -> Journal:
    lab = load(store.root / "runs")
    return write_journal(lab, baseline, reader(store.root, lab))


def printed(written: Journal, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_journal(written, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # StringIO
    assert isinstance(text, str)
    return text


def some_work(store: Store) -> None:
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, -0.05, note="is the mean needed?")
    store.shifted("hooks=ema", 3, 0.0, wobble=0.5)
    store.arm("hooks=hot", [None, 2.1, None], note="how hot can it be?")
    store.shifted("wild", 1, -1.0, exploring=True, changes=3)


def test_every_arm_stands_in_the_journal_the_newest_first(store: Store):
    some_work(store)
    entries = journal(store).entries
    assert [each.label for each in entries] == ["wild", "hooks=hot", "hooks=ema", "model.norm=rmsnorm"]


def test_each_says_why_and_what_happened_also_when_it_diverged_or_explored_or_made_no_difference(store: Store):
    some_work(store)
    wild, hot, ema, norm = journal(store).entries
    assert norm.hypotheses == ("is the mean needed?",)
    assert "better" in norm.happened[0]
    assert "no difference" in ema.happened[0]
    assert "2 of 3 runs diverged" in hot.happened[0]
    assert "never judged" in wild.happened[0] and "3 changes" in wild.happened[0]
    assert "seed 0" in wild.happened[0] and "1 finished" in wild.happened[0]


def test_a_conclusion_stands_beside_its_arm_with_what_the_report_said_then(store: Store):
    some_work(store)
    lab = load(store.root / "runs")
    arm = arm_named(arms_of(lab, "demo"), "model/norm=rmsnorm", "demo")
    said = said_of(arm, reader(store.root, lab)("demo"))
    conclude(store.root, "demo", arm.arm_id, arm.change_id, arm.label, said, "the mean isn't needed")
    entry = journal(store).entries[-1]
    assert [(each.verdict, each.text) for each in entry.conclusions] == [("better", "the mean isn't needed")]
    text = printed(journal(store))
    assert "concluded" in text and "when the report said 'better': the mean isn't needed" in text
    assert "4 arms, 3 without a conclusion" in text


def test_a_second_conclusion_hides_no_first(store: Store):
    some_work(store)
    for words in ("yes", "no, after all"):
        conclude(store.root, "demo", "a" * 64, "b" * 64, "x", "better", words)
    assert [each.text for each in read_conclusions(store.root / "runs", "demo")[0]] == ["yes", "no, after all"]


def test_a_torn_line_of_conclusions_is_counted_and_hides_nothing(store: Store):
    some_work(store)
    conclude(store.root, "demo", "a" * 64, "b" * 64, "x", "better", "whole")
    path = store.root / "runs" / "demo" / "conclusions.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at":"20')
    assert any("1 damaged line left out" in line for line in journal(store).left_out)


def test_an_arm_whose_pin_is_gone_stays_in_the_journal_with_its_numbers(store: Store):
    some_work(store)
    (store.root / "conf" / "baseline" / "demo.lock.json").unlink()
    norm = journal(store).entries[-1]
    assert "its baseline can't be read" in norm.happened[0]
    assert "3 finished" in norm.happened[0]


def test_an_empty_store_says_how_to_begin(store: Store):
    assert "note=" in printed(journal(store))


@pytest.mark.parametrize("word", ["model/norm=rmsnorm", "model.norm=rmsnorm", "ARM_ID"])
def test_an_arm_is_named_by_its_label_in_either_spelling_or_by_its_id(store: Store, word: str):
    some_work(store)
    arms = arms_of(load(store.root / "runs"), "demo")
    norm = next(arm for arm in arms if "rmsnorm" in arm.label)
    assert arm_named(arms, word.replace("ARM_ID", norm.arm_id[:6]), "demo") == norm


@pytest.mark.parametrize("word", ["model/norm=rmsnrm", "abcdefabcdef", "", "h"])
def test_a_word_that_names_no_arm_lists_those_that_there_are(store: Store, word: str):
    some_work(store)
    with pytest.raises(StoreError, match=r"model\.norm=rmsnorm"):
        arm_named(arms_of(load(store.root / "runs"), "demo"), word, "demo")


def test_two_changes_under_one_label_are_told_apart_by_their_ids(store: Store):
    store.shifted("hooks=mine", 2, 0.0, change_id="1" * 64, arm_id="a1" * 32)
    store.shifted("hooks=mine", 2, 0.1, change_id="2" * 64, arm_id="b2" * 32)
    arms = arms_of(load(store.root / "runs"), "demo")
    with pytest.raises(StoreError, match=r"2 arms .* fit"):
        arm_named(arms, "hooks=mine", "demo")
    assert arm_named(arms, "hooks=mine (b2b2b2)", "demo").change_id == "2" * 64


def test_hostile_words_are_printed_as_text(store: Store, tmp_path: Path):
    store.baseline(3)
    store.shifted("hooks=[red]x\x1b[2J", 3, 0.0, note="<script>alert(1)</script> **bold**\x1b[31m")
    shown = printed(journal(store))
    assert "\x1b" not in shown and "[red]x" in shown
    text = journal_to_markdown(journal(store))
    assert "<script>" not in text and "\\*\\*bold" in text


@pytest.mark.parametrize("width", [60, 100])
def test_no_line_of_the_journal_is_wider_than_the_terminal(store: Store, width: int):
    some_work(store)
    assert max(map(len, printed(journal(store), width).splitlines())) <= width
