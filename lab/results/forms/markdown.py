"""The report as Markdown, with everything: what a terminal shows, and behind each arm its configuration, its pairing and its seeds.

Text from outside is escaped so that GitHub shows it as it is: no markup, no HTML, no mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lab.results.facts import ArmFacts, Facts, SectionFacts
from lab.results.forms.cells import sheets
from lab.results.forms.prose import NEXT, advice, apart_and_waiting, details, next_commands, pairing_lines, title
from lab.results.forms.table import COLUMNS, name_of, table
from lab.store.plain import plain

# What GitHub turns into a mention, a link, an issue or a picture after it read the markup, so that no escape helps: @user, https://x,
# www.x, #12, :boom:. A comment behind its first sign splits it, and is no part of the text.
LINKED = re.compile(r"@(?=\w)|:(?=//)|\bwww(?=\.)|#(?=\d)|:(?=[\w+-]+:)", re.IGNORECASE | re.ASCII)


def to_markdown(facts: Facts) -> str:
    """The whole report; ends with a newline."""
    several = len(facts.sections) > 1
    parts = [f"# Baseline {escape(facts.rules.baseline)}"]
    if several:
        parts.append(bullets(facts.head))
    for section in facts.sections:
        parts += [f"## {escape(title(section, facts))}", bullets(section.head)] if several else [bullets((*facts.head, *section.head))]
        parts += section_parts(facts, section, "###" if several else "##")
    parts += list_parts(facts.lists, "##")
    return "\n\n".join(part for part in parts if part) + "\n"


def section_parts(facts: Facts, section: SectionFacts, mark: str) -> Iterator[str]:
    if rows := table(facts.rules, section):
        ruler = ["---:" if column.right else ":---" for column in COLUMNS]
        lines = [[column.name for column in COLUMNS], ruler, *([escape(cell) for cell in row.texts] for row in rows)]
        yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
    alone, together = apart_and_waiting(section, facts.rules)
    yield "\n".join([*(reading(arm) for arm in alone), *(f"- {opening(words)}" for words in together)])
    for sheet in sheets(section):
        yield f"{mark} {escape(sheet.title)}"
        ruler = ["---:" if right else ":---" for right in sheet.right]
        lines = [list(map(escape, sheet.columns)), ruler, *(list(map(escape, row)) for row in sheet.rows)]
        yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
        yield bullets(sheet.texts)
    for why, typed in advice(section).items():
        yield from commands(why, typed)
    yield from commands(NEXT, next_commands(section))
    yield from list_parts(pairing_lines(section) | section.lists, mark)
    if section.arms:
        yield f"{mark} Arm by arm"
    for arm in section.arms:
        yield f"{mark}# {escape(name_of(arm))}"
        yield "\n".join(detail(heading, lines) for heading, lines in details(arm))


def reading(arm: ArmFacts) -> str:
    return "\n".join([f"- {opening(arm.reading)}", *(f"  - {opening(remark)}" for remark in arm.remarks)])


def detail(heading: str, lines: tuple[str, ...]) -> str:
    return "\n".join([f"- {heading}", *(f"  - {opening(line)}" for line in lines)])


def commands(lead: str, typed: Iterable[str]) -> Iterator[str]:
    """As a block of code, in which nothing is markup."""
    if lines := [f"    {plain(command)}" for command in typed]:
        yield "\n".join([escape(lead), "", *lines])


def list_parts(lists: Mapping[str, Iterable[str]], mark: str) -> Iterator[str]:
    for heading, entries in lists.items():
        yield f"{mark} {escape(heading)}"
        yield bullets(entries)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {opening(line)}" for line in lines)


def opening(text: str) -> str:
    """Text that stands first in its line: no list, ruler or block of code begins with it."""
    return re.sub(r"^(\d*)([-+.)])(?=[\s-]|$)", r"\1\\\2", escape(text).strip())


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in a heading, a paragraph or a table's cell."""
    safe = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = re.sub(r"([\\`*\[\]|~#$])", r"\\\1", safe)
    safe = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", safe)
    return LINKED.sub(r"\g<0><!-- -->", safe)
