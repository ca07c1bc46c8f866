"""What a page of the docs shows: commands with their remarks, files with their names, tables of keys. Reads Markdown; runs nothing."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CHECKOUT, Project

DOCS = CHECKOUT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SOURCES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted((CHECKOUT / "conf").rglob("*.yaml"))]
PLACEHOLDERS = ("NAME", "KEY=", "GROUP=", "...", "RUN", "$")


@dataclass(frozen=True)
class Shown:
    """A command that a page shows, and what the page says behind it."""

    command: str
    remark: str = ""

    @property
    def refused(self) -> bool:
        return "refused" in self.remark

    @property
    def concrete(self) -> bool:
        """Whether it can be typed as it stands: no word is a placeholder."""
        return not any(mark in self.command for mark in PLACEHOLDERS)

    @property
    def sweeps(self) -> bool:
        """Whether its words are a sweep's."""
        return " --multirun" in self.command or self.command.startswith("python -m lab plan")

    @property
    def words(self) -> list[str]:
        """What stands behind `python`, as a shell would split it."""
        return shlex.split(self.command)[1:]


def commands(path: Path) -> list[Shown]:
    """Lines of code with their remarks, and what stands between backticks."""
    text = path.read_text()
    lines = re.findall(r"^(?: {4,}|# +)?(python (?:run\.py|-m lab).*?)(?:(?: {2,}|\s+#)(.*))?$", text, flags=re.MULTILINE)
    found = [Shown(command.strip(), remark.strip(" #")) for command, remark in lines]
    return found + [Shown(" ".join(each.split())) for each in re.findall(r"`(python (?:run\.py|-m lab)[^`]*)`", text)]


def files(path: Path) -> dict[str, str]:
    """The files that a page spells out: a fenced block behind a name in backticks."""
    return dict(re.findall(r"`([\w/.-]+)`[^`\n]*:\n\n```\w+\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL))


def answers(path: Path) -> list[str]:
    """What the page says that a command prints: fenced blocks of no language."""
    return re.findall(r"^```\n(.*?)\n```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def tables(path: Path) -> dict[str, list[str]]:
    """What the first cells of each table's rows name, without backticks, by the heading above it. A cell may name several."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| ") and not line.startswith(("| key |", "| file |")):
            found.setdefault(heading, []).extend(each.strip(" `") for each in line.split("|")[1].split(","))
    return found


def write_files(path: Path, project: Project) -> None:
    """Do what a page says: write its files, and put its lines in the place of those with the same keys."""
    for name, text in files(path).items():
        target = project.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and name == "conf/config.yaml":
            key = text.partition(":")[0]
            before = target.read_text()
            assert f"\n{key}:" in before, f"{path.name} changes {key} in {name}, and there is none"
            text = re.sub(rf"^{key}:.*\n", text, before, flags=re.MULTILINE)
        else:
            assert not target.exists(), f"{path.name} spells out {name}, and the project has one"
        target.write_text(text)
