"""The report as plain text in parts: head, table, readings, lists. The terminal and Markdown print these same strings.

Names come from outside: a label may hold markup, control characters or a table's bar. They are made printable here
(lab/store/plain.py); what a form of output treats as markup, that form escapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lab.results.apart import differences
from lab.results.evidence import mean
from lab.results.footing import certificate_lines, pairing_lines
from lab.results.lineup import Arm, Lineup
from lab.results.pin import Pin
from lab.results.reading import Verdict
from lab.results.record import LeftOut, Run
from lab.results.smallest_effect import SmallestEffect
from lab.results.statistics import level_in_force
from lab.results.wording import counted, interval, p_value, seed_list, shown, signed, size
from lab.store.plain import plain


@dataclass(frozen=True)
class Report:
    """Everything that one baseline's report says, as data."""

    pin: Pin
    smallest_effect: SmallestEffect
    lineup: Lineup
    verdicts: tuple[Verdict, ...]
    runs_read: int
    unequal: tuple[str, ...]  # runs that were trained twice and came to unequal ends
    left_out: tuple[LeftOut, ...]
    elsewhere: Mapping[str, str]  # runs that were trained for another pin, and for which


@dataclass(frozen=True)
class Column:
    """A table's column; `narrow` is the least terminal width at which it is shown."""

    name: str
    narrow: int
    right: bool


COLUMNS = (
    Column("arm", 0, right=False),
    Column("n", 0, right=True),
    Column("mean", 76, right=True),
    Column("difference", 0, right=True),
    Column("interval", 112, right=True),
    Column("p (Holm)", 76, right=True),
    Column("verdict", 0, right=False),
    Column("params", 90, right=True),
    Column("tokens/s", 90, right=True),
)
NONE = "-"


def head(report: Report) -> list[str]:
    """What was judged, by which rules, from what."""
    pin, lineup = report.pin, report.lineup
    looks = ", ".join(map(str, pin.looks))
    per_look = f", each at {level_in_force(pin.alpha, pin.looks):.4f}" if len(pin.looks) > 1 else ""
    effect = report.smallest_effect
    named = f" ({lineup.cohort_name})" if lineup.cohort_name else ""
    studies = (f"{study}: {counted(len(family), 'arm')}" for study, family in lineup.families.items())
    return [
        f"Baseline {pin.name} (lock {pin.sha256[:8]}), judged by validation {pin.metric.replace('_', ' ')}, {pin.direction} is better.",
        f"alpha {pin.alpha:g}; looks at {looks} seeds{per_look}; paired t over the pinned seeds.",
        f"D = {size(effect.value)} {pin.unit}: {effect.origin}." if effect.value is not None else f"D: none. {effect.origin}",
        f"{counted(lineup.tried, 'arm')} ever tried under this pin; Holm by study: {'; '.join(studies) or 'none yet'}.",
        f"Cohort {(lineup.cohort or NONE)[:8]}{named}. {counted(report.runs_read, 'run')} read, {len(report.left_out)} left out.",
        "Every verdict is on this validation text. The tokens/s ratio is indicative: the runs were not interleaved on an idle machine.",
    ]


def rows(report: Report) -> list[list[str]]:
    """The table: the baseline, then each arm."""
    baseline = report.lineup.baseline
    return [baseline_row(report.pin, baseline)] * bool(baseline) + [arm_row(verdict, baseline) for verdict in report.verdicts]


def baseline_row(pin: Pin, baseline: Arm | None) -> list[str]:
    runs = [run for seed, run in baseline.runs.items() if seed in pin.seeds and run.done] if baseline else []
    level = mean(run.metrics.get(pin.measure) for run in runs if run.status == "finished")
    return ["baseline", str(len(runs)), NONE if level is None else f"{level:.4f}", NONE, NONE, NONE, NONE, "1.00x", "1.00x"]


def arm_row(verdict: Verdict, baseline: Arm | None) -> list[str]:
    evidence, estimate = verdict.evidence, verdict.evidence.estimate
    return [
        shown(verdict.label),
        str(len(evidence.pairs)),
        NONE if evidence.mean_arm is None else f"{evidence.mean_arm:.4f}",
        NONE if estimate is None else signed(estimate.mean, estimate),
        NONE if estimate is None or estimate.low is None or evidence.look is None else interval(estimate),
        p_value(verdict.p, NONE).removeprefix("= "),
        verdict.said,
        ratio(evidence.arm, baseline, lambda run: run.parameters.get("total")),
        ratio(evidence.arm, baseline, lambda run: run.cost.get("tokens_per_second")),
    ]


def ratio(arm: Arm, baseline: Arm | None, of: Callable[[Run], float | None]) -> str:
    """The arm's mean over the baseline's."""
    values = [mean(of(run) for run in one.runs.values()) if one else None for one in (arm, baseline)]
    return NONE if values[0] is None or not values[1] else f"{values[0] / values[1]:.2f}x"


def readings(report: Report) -> list[str]:
    """One sentence per arm, and what pairing bought."""
    lines = []
    for verdict in report.verdicts:
        estimate = verdict.evidence.estimate
        bought = ""
        if estimate is not None and estimate.gain is not None and verdict.evidence.look is not None:
            related = f"; correlation {estimate.correlation:+.2f}" if estimate.correlation is not None and estimate.n > 2 else ""
            if estimate.gain >= 1:
                bought = f" (Pairing divided the variance by {estimate.gain:.{1 if estimate.gain < 10 else 0}f}{related}.)"
            else:
                bought = f" (Pairing bought nothing: it multiplied the variance by {1 / estimate.gain:.1f}{related}.)"
        lines.append(verdict.reading + bought)
    return lines


def lists(report: Report) -> dict[str, list[str]]:
    """What is shown apart from the verdicts, by heading; headings without entries are dropped."""
    lineup = report.lineup
    arms = [one for one in (lineup.baseline, *(verdict.evidence.arm for verdict in report.verdicts)) if one]
    runs = [(one.label, run) for one in arms for run in one.runs.values()]
    extra = {verdict.label: verdict.evidence.extra for verdict in report.verdicts if verdict.evidence.extra}
    locks = (
        f"{counted(count, 'request')} asked under lock {lock[:8]}, another baseline of this name; this one's is {report.pin.sha256[:8]}"
        for lock, count in lineup.other_locks.items()
    )
    cohorts = (
        f"cohort {name[:8]}: {counted(count, 'run')}, never mixed with this one{lineup.cohorts_apart[name]}"
        for name, count in lineup.other_cohorts.items()
    )
    found = {
        "Pairing with the baseline": pairing_lines(report.verdicts, report.elsewhere),
        "Certificates": certificate_lines(lineup, report.verdicts),
        "Not compared": [f"{shown(aside.label)}: {aside.why}" for aside in lineup.asides],
        "Exploring (never judged)": by_label((run.label, run) for run in lineup.exploring),
        "Diverged": [
            f"{named(each, run)}: {at_step(run)}{run.reason or 'no reason given'}" for each, run in runs if run.status == "diverged"
        ],
        "Failed (pending until resumed)": [f"{named(each, run)}: {run.reason}" for each, run in runs if run.status == "failed"],
        "Unfinished (pending)": by_label((each, run) for each, run in runs if run.status == "unfinished"),
        "Seeds outside the pinned list (not judged)": [f"{shown(label)}: {seed_list(seeds)}" for label, seeds in extra.items()],
        "Several changes under one label": [shown(line) for line in lineup.alike],
        "Finished without the metric (pending)": [
            f"{named(each, run)}: no {report.pin.measure}, it has {', '.join(sorted(run.metrics)) or 'none'}"
            for each, run in runs
            if run.status == "finished" and report.pin.measure not in run.metrics
        ],
        "Pairs across bits": [line for verdict in report.verdicts if (line := across_bits(verdict, lineup.baseline))],
        "Same arm and seed again, under other bits or joined code (not judged)": [
            f"{run.directory}{differences([(one.runs[run.seed], run)], 'bits')}" for one in arms for run in one.surplus
        ],
        "Trained twice, to unequal ends": list(report.unequal),
        "Other requests": [*locks, *cohorts],
        "Left out": [f"{item.name}: {item.why}" for item in report.left_out],
    }
    return {heading: [plain(entry) for entry in entries] for heading, entries in found.items() if entries}


def across_bits(verdict: Verdict, baseline: Arm | None) -> str:
    """How many judged pairs have other bits on their two sides, and which; empty where none has."""
    if not verdict.evidence.across_bits or baseline is None:
        return ""
    runs = verdict.evidence.arm.runs
    pairs = [(baseline.runs[pair.seed], runs[pair.seed]) for pair in verdict.evidence.pairs if not pair.same_bits]
    return f"{shown(verdict.label)}: {counted(len(pairs), 'pair')} of runs under other bits{differences(pairs, 'bits')}"


def named(label: str, run: Run) -> str:
    return f"{shown(label)} seed {run.seed}"


def at_step(run: Run) -> str:
    return "" if run.diverged_step is None else f"step {run.diverged_step}, "


def by_label(runs: Iterable[tuple[str, Run]]) -> list[str]:
    groups: dict[str, list[int]] = {}
    for label, run in runs:
        groups.setdefault(label, []).append(run.seed)
    return [f"{shown(label)}: {seed_list(sorted(group))}" for label, group in groups.items()]


def commands(report: Report) -> list[str]:
    """What to type when there is nothing to judge yet."""
    pin = report.pin
    seeds = ",".join(map(str, pin.seeds[: pin.looks[0]]))
    if report.verdicts:
        return []
    return [f"python run.py --multirun baseline={pin.name} hooks=none,grad_clip seed={seeds}"]
