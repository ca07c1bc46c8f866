"""A sweep's closing report: on the screen, and in the sweep's folder as Markdown and as a page. Made in a process of its own.

`report` starts it by name, so that the sweep itself never loads pandas: its memory stays small, and what it reads in a night of runs is
given back. Judges nothing itself, trains nothing.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.ablate.codemap import LAB
from lab.errors import LabError
from lab.processes import with_code
from lab.signals import leave_on_interrupt

if TYPE_CHECKING:  # it brings Hydra, which a report doesn't need
    from lab.results.facts import Facts
    from lab.sweep.plan import Plan

LARGEST = 1 << 28  # bytes of plan.json
OTHERS = {"arm": "arms", "factorial": "factorials", "curve": "value_curves"}  # what a section of a report holds of each sweep


class Untold(LabError):
    """The closing report couldn't be made. The runs are as they were."""

    exit_status = 1


def report(plan: Plan, root: Path, folder: Path) -> None:
    """The verdicts as they stand now, told and written by a child process. Raises Untold where that fails."""
    sys.stdout.flush()  # what was said before stands above it, in a pipe too
    words = [sys.executable, "-m", "lab.sweep.told", str(root.resolve()), str(folder.resolve()), plan.baseline, plan.cohort]
    done = subprocess.run(words, cwd=LAB.parent, env=with_code(LAB.parent), stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode != 0:
        why = said or f"its process was killed by signal {-done.returncode}"
        raise Untold(f"the closing report couldn't be made: {why}\nevery run is kept: python -m lab report --baseline {plan.baseline}")
    if said:
        print(said, file=sys.stderr)


def tell(root: Path, folder: Path, baseline: str, cohort: str) -> None:
    """Build the report of one baseline, this cohort first; print it in brief, and write it into the sweep's folder."""
    from lab.files import read_json, write_file
    from lab.results.collect import load
    from lab.results.curves import curves
    from lab.results.forms import FORMATS, print_report
    from lab.results.report import build
    from lab.results.telling import tell as facts_of
    from lab.store.console import Console

    lab = load(root / "runs")
    facts = facts_of(build(root, baseline, here=lambda known: cohort, lab=lab))
    console = Console().rich
    console.print()  # apart from what the sweep said
    plan = read_json(folder / "plan.json", LARGEST)
    own = of_the_sweep(facts, {row["arm_id"] for row in plan["rows"]}, plan["study"])
    others = others_said(facts, own)
    print_report(own, console, brief=(folder / "report.html").relative_to(root).as_posix())
    if others:
        console.print(f"{others} under this pin: python -m lab report --baseline {baseline}")
    sys.stdout.flush()
    drawn = curves(lab, facts)
    for form in ("md", "html"):
        write_file(folder / f"report{FORMATS[form].suffix}", FORMATS[form].make(facts, drawn))


def of_the_sweep(facts: Facts, arm_ids: set[str], study: str) -> Facts:
    """The same facts with this sweep's arms and its own effects or curve alone; what is corrected stays over all of them."""
    sections = [
        replace(
            each,
            arms=tuple(arm for arm in each.arms if arm.arm_id in arm_ids),
            factorials=tuple(made for made in each.factorials if made.study == study),
            value_curves=tuple(made for made in each.value_curves if made.study == study),
        )
        for each in facts.sections
    ]
    return replace(facts, sections=tuple(sections))


def others_said(facts: Facts, own: Facts) -> str:
    """How much of a report isn't this sweep's, in words; empty where it all is."""
    from lab.results.wording import counted

    both = list(zip(facts.sections, own.sections, strict=True))
    more = {noun: sum(len(getattr(every, name)) - len(getattr(its, name)) for every, its in both) for noun, name in OTHERS.items()}
    return ", ".join(counted(number, f"more {noun}") for noun, number in more.items() if number)


def main(words: list[str]) -> int:
    """Exit status 0, or the error's own after its message on standard error."""
    leave_on_interrupt()
    root, folder, baseline, cohort = words
    try:
        tell(Path(root), Path(folder), baseline, cohort)
    except LabError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
