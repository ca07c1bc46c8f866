"""The lab journal: every arm ever tried, with why, what happened and what was concluded; negative results beside positive ones."""

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from lab.confirm.journal import add, told
from lab.errors import ConfigError
from lab.results.collect import load
from lab.results.forms.journal import journal_to_markdown, print_journal
from lab.results.journal import Journal, reader, said_of, write_journal
from lab.results.named import arm_named, arms_of, words_for
from lab.store.conclusions import conclude, read_conclusions
from lab.store.confirmations import NAME

from .store import CODE, Store, digest


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


def test_it_ends_in_a_whole_command_for_the_newest_arm_without_a_conclusion(store: Store):
    some_work(store)
    assert journal(store).entries[0].word == "wild"
    for label in ("wild", "hooks=hot"):
        conclude(store.root, "demo", digest(label, CODE), digest("change", label), label, "nothing", "no")
    assert "the newest: python -m lab conclude hooks=ema 'your words' --baseline demo" in " ".join(printed(journal(store)).split())


def test_each_word_of_the_journal_names_its_arm_alone(store: Store):
    store.shifted("hooks=mine", 2, 0.0, change_id="1" * 64, arm_id="a1" * 32)
    store.shifted("hooks=mine", 2, 0.1, change_id="2" * 64, arm_id="b2" * 32)
    store.shifted("hooks=\x1b[2J it's", 2, 0.1, change_id="3" * 64, arm_id="c3" * 32)
    arms = arms_of(load(store.root / "runs"), "demo")
    words = words_for(arms)
    assert words == ["'hooks=mine (a1a1a1)'", "'hooks=mine (b2b2b2)'", "c3c3c3"]
    assert [arm_named(arms, *shlex.split(word), "demo") for word in words] == arms


def test_an_arm_of_another_baseline_is_told_with_the_words_that_name_it(store: Store):
    some_work(store)
    store.name = "other"
    store.pin()
    store.shifted("hooks=ema", 1, 0.0)
    lab = load(store.root / "runs")
    with pytest.raises(ConfigError, match=r"\nit is in baseline `demo`: add --baseline demo$"):
        arm_named(arms_of(lab, "other"), "model/norm=rmsnorm", "other", lab)
    with pytest.raises(ConfigError) as refused:
        arm_named(arms_of(lab, "other"), "model/norm=nothing", "other", lab)
    assert "--baseline" not in str(refused.value)


def begin(store: Store, **told: object) -> dict:
    """A confirmation of the normalization, as it is declared."""
    label = "model/norm=rmsnorm"
    about = {"lock": store.lock, "arm_id": digest(label, CODE), "change_id": digest("change", label), "label": label}
    return add(store.root / "runs" / "demo" / NAME, "declared", **{"id": "a" * 12, "seeds": [12, 13, 14], **about, **told})


def of_norm(store: Store) -> tuple[str, ...]:
    return tuple(f"{each.title}: {each.text}" for arm in journal(store).entries if "rmsnorm" in arm.label for each in arm.confirmations)


def test_a_confirmation_that_was_begun_stands_at_its_arm_with_what_there_is_of_it(store: Store):
    some_work(store)
    declared = begin(store)
    head = f"confirmation declared {declared['at'][:10]}: on seeds 12, 13, 14"
    goes_on = "python -m lab confirm model.norm=rmsnorm --baseline demo goes on"
    assert of_norm(store) == (f"{head}: 0 of 3 pairs there; {goes_on}",)
    store.run("model/norm=rmsnorm", 12)
    store.run("hooks=ema", 13)
    assert "0 of 3 pairs" in of_norm(store)[0], "an arm's run alone is no pair, and another arm's is none of it"
    store.run("baseline", 12, study="confirm")
    assert of_norm(store) == (f"{head}: 1 of 3 pairs there; {goes_on}",)
    assert all(not each.confirmations for each in journal(store).entries if "rmsnorm" not in each.label)
    assert goes_on in " ".join(printed(journal(store)).split()) and "confirmation declared" in journal_to_markdown(journal(store))
    store.pin("second")
    assert "1 of 3 pairs there; it was declared under another pin" in of_norm(store)[0]


def test_a_finished_confirmation_is_told_with_its_numbers_and_how_often_its_range_was_read(store: Store):
    some_work(store)
    declared, path = begin(store), store.root / "runs" / "demo" / NAME
    for _ in range(2):
        add(path, "reading", id="a" * 12, text="t" * 64, n=1)
    add(store.root / "runs" / "other" / NAME, "reading", id="b" * 12, text="u" * 64, n=1)
    found = {"verdict": "better", "estimate": {"mean": -0.02, "low": -0.024, "high": -0.016}, "p": 0.0123, "readings": 1, "text": "t" * 64}
    add(path, "confirmed", **told(declared, "id", "lock", "arm_id", "change_id", "label", "seeds"), **found)
    day = declared["at"][:10]
    numbers = "-0.0200 bits/byte (-0.0240 to -0.0160), p = 0.012"
    assert of_norm(store) == (
        f"confirmed {day}: better on seeds 12, 13, 14, {numbers}; the test range was read 2 times in this store by now",
    )


def test_a_damaged_or_odd_line_of_confirmations_is_counted_and_hides_no_other(store: Store):
    some_work(store)
    begin(store, seeds=None)
    begin(store, id="b" * 12)
    path = store.root / "runs" / "demo" / NAME
    path.write_bytes(path.read_bytes() + b'{"kind":"decl')
    assert len(of_norm(store)) == 1
    assert "demo/confirmations.jsonl: 2 damaged lines left out" in journal(store).left_out


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
    with pytest.raises(ConfigError, match=r"model\.norm=rmsnorm"):
        arm_named(arms_of(load(store.root / "runs"), "demo"), word, "demo")


def test_two_changes_under_one_label_are_told_apart_by_their_ids(store: Store):
    store.shifted("hooks=mine", 2, 0.0, change_id="1" * 64, arm_id="a1" * 32)
    store.shifted("hooks=mine", 2, 0.1, change_id="2" * 64, arm_id="b2" * 32)
    arms = arms_of(load(store.root / "runs"), "demo")
    with pytest.raises(ConfigError, match=r"2 arms .* fit"):
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
