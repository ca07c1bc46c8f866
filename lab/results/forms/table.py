"""The verdict table as text, cell by cell: what every form shows, so that a number is the same string in all. Knows no markup.

A cell has a text for the eye and a raw value to sort by; `-` stands for nothing. Names come from outside: they are made printable
here (lab/store/plain.py), and each form escapes what it treats as markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from lab.results.facts import VERDICTS, ArmFacts, BaselineFacts, Cost, RulesFacts, RunFacts, SectionFacts
from lab.results.wording import shown
from lab.store.plain import plain

NONE = "-"
BASELINE = "baseline"


@dataclass(frozen=True)
class Column:
    """A table's column. `narrow` is the least terminal width at which it is shown; `about` says what stands in it."""

    key: str
    name: str
    narrow: int
    right: bool
    about: str


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it sorts by: a number, or text of equal kind within a column. None stands last, either way round."""

    text: str
    raw: float | str | None


@dataclass(frozen=True)
class Row:
    """The baseline (arm is None) or an arm, with a cell for each of COLUMNS."""

    arm: ArmFacts | None
    cells: tuple[Cell, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(cell.text for cell in self.cells)


COLUMNS = (
    Column("arm", "arm", 0, right=False, about="the one change"),
    Column("n", "n", 0, right=True, about="seeds that both have; (2 diverged): of these, (+2 diverged): on other pinned seeds"),
    Column("mean", "mean", 76, right=True, about="the metric's mean over the stable seeds"),
    Column("difference", "difference", 0, right=True, about="arm - baseline, mean over the paired seeds"),
    Column("interval", "interval", 100, right=True, about="of the difference, at the level in force"),
    Column("p", "p (Holm)", 76, right=True, about="sequential p, Holm-adjusted over the study"),
    Column("verdict", "verdict", 0, right=False, about="in the order of the rules, not of the alphabet"),
    Column("parameters", "params", 116, right=True, about="parameters, arm / baseline"),
    Column("flops_per_token", "FLOPs/token", 132, right=True, about="training FLOPs per token, arm / baseline"),
    Column("tokens_per_second", "tokens/s", 116, right=True, about="tokens per second, arm / baseline; indicative"),
)


def table(rules: RulesFacts, section: SectionFacts) -> tuple[Row, ...]:
    """The baseline, where there is one, then each arm, in the report's order."""
    first = (Row(None, baseline_cells(rules, section.baseline)),) if section.baseline is not None else ()
    return (*first, *(Row(arm, arm_cells(rules, arm)) for arm in section.arms))


def baseline_cells(rules: RulesFacts, baseline: BaselineFacts) -> tuple[Cell, ...]:
    done = {run.seed for run in baseline.runs if run.seed in rules.seeds and run.status in ("finished", "diverged")}
    nothing, itself = Cell(NONE, None), Cell(ratio(1.0), 1.0)
    return (
        Cell(BASELINE, ""),
        Cell(counted_seeds(len(done), diverged_seeds(rules, baseline.runs), done), len(done)),
        Cell(level(baseline.mean), baseline.mean),
        *[nothing] * 4,
        *[itself] * 3,
    )


def arm_cells(rules: RulesFacts, arm: ArmFacts) -> tuple[Cell, ...]:
    ends = interval_of(arm)
    order = VERDICTS.index(arm.verdict)
    return (
        Cell(name_of(arm), name_of(arm)),
        Cell(counted_seeds(arm.n, diverged_seeds(rules, arm.runs), {pair.seed for pair in arm.pairs}), arm.n),
        Cell(level(arm.mean), arm.mean),
        Cell(signed(arm.difference, arm.decimals), arm.difference),
        Cell(interval(ends, arm.decimals), None if ends is None else ends[1] - ends[0]),
        Cell(p_value(arm.p), arm.p),
        Cell(plain(arm.said), order),
        *(Cell(ratio(of(arm.ratio)), of(arm.ratio)) for of in RATIOS),
    )


def diverged_seeds(rules: RulesFacts, runs: Iterable[RunFacts]) -> set[int]:
    """The pinned seeds on which a run diverged, judged or not."""
    return {run.seed for run in runs if run.status == "diverged" and run.seed in rules.seeds}


def counted_seeds(n: int, lost: Set[int], shown: Set[int]) -> str:
    """How many seeds are shown, and how many runs diverged: of these, and (with a plus) on other pinned seeds."""
    inside, beyond = len(lost & shown), len(lost - shown)
    told = [*([str(inside)] if inside else []), *([f"+{beyond}"] if beyond else [])]
    return f"{n} ({', '.join(told)} diverged)" if told else str(n)


RATIOS: tuple[Callable[[Cost], float | None], ...] = (
    lambda cost: cost.parameters,
    lambda cost: cost.flops_per_token,
    lambda cost: cost.tokens_per_second,
)


def name_of(arm: ArmFacts) -> str:
    """An arm as a reader sees it: groups by dots, unprintable characters by their codes."""
    return plain(shown(arm.label))


def pieces(name: str) -> list[str]:
    """A name in parts between which a line may break: after a dot, a sign or a slash, but not within a number."""
    return re.split(r"(?<=[_=/, ])|(?<=\.)(?!\d)", name)


def interval_of(arm: ArmFacts) -> tuple[float, float] | None:
    """The interval that may be shown: before the first look there is none, whatever could be computed."""
    return None if arm.look is None or arm.low is None or arm.high is None else (arm.low, arm.high)


def level(value: float | None) -> str:
    """A metric's value, as of a mean."""
    return NONE if value is None else f"{value:.4f}"


def signed(value: float | None, decimals: int) -> str:
    """A difference, with as many decimals as it deserves."""
    return NONE if value is None else f"{value:+.{decimals}f}"


def interval(ends: tuple[float, float] | None, decimals: int) -> str:
    return NONE if ends is None else f"{signed(ends[0], decimals)} to {signed(ends[1], decimals)}"


def p_value(p: float | None) -> str:
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}x"
