"""The lab journal for a terminal and as Markdown: the same words in both."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from lab.results.journal import Entry, Journal, next_to_conclude
from lab.results.wording import counted
from lab.store.plain import plain

NOTHING = "Nothing was tried yet. An arm, for example: python run.py model/norm=rmsnorm note='is the mean needed?'"


def title(entry: Entry) -> str:
    """Which change, against what."""
    first, newest = entry.asked
    days = first if first == newest else f"{first} to {newest}"
    studies = f"{'study' if len(entry.studies) == 1 else 'studies'} {', '.join(entry.studies)}"
    return f"{f'{days}  ' if days else ''}{entry.label} (baseline {entry.baseline}, {studies}, {entry.arm_id[:6]})"


def body(entry: Entry) -> list[tuple[str, str]]:
    """What was expected, what happened, what was concluded: name and words of each."""
    lines = [("why", words) for words in entry.hypotheses] or [("why", "nobody said; note='...' on a run tells it")]
    lines += [("happened", words) for words in entry.happened]
    lines += [(each.title, each.text) for each in entry.confirmations]
    lines += [(f"concluded {each.at[:10]}, when the report said {each.verdict!r}", each.text) for each in entry.conclusions]
    return lines


def foot(journal: Journal) -> str:
    without = sum(not entry.conclusions for entry in journal.entries)
    if not without:
        return f"{counted(len(journal.entries), 'arm')}, each with a conclusion."
    return f"{counted(len(journal.entries), 'arm')}, {without} without a conclusion; the newest: {next_to_conclude(journal)}"


def print_journal(journal: Journal, console: Console) -> None:
    if not journal.entries:
        console.print(Text(NOTHING))
    for entry in journal.entries:
        console.print(Text(plain(title(entry)), style="bold"))
        for name, words in body(entry):
            console.print(Padding(Text(plain(f"{name}: {words}")), (0, 0, 0, 2)))
        console.print()
    if journal.entries:
        console.print(Text(foot(journal)))
    for line in journal.left_out:
        console.print(Text(plain(f"left out: {line}")))


def journal_to_markdown(journal: Journal) -> str:
    from lab.results.forms.markdown import escape

    parts = ["# Lab journal", foot(journal) if journal.entries else NOTHING]
    for entry in journal.entries:
        lines = "\n".join(f"- **{escape(name)}**: {escape(words)}" for name, words in body(entry))
        parts.append(f"## {escape(title(entry))}\n\n{lines}")
    if journal.left_out:
        parts.append("## Left out\n\n" + "\n".join(f"- {escape(line)}" for line in journal.left_out))
    return "\n\n".join(parts) + "\n"
