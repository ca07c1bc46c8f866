"""A report as plain data for every form of output: `tell` makes the Facts of a Report. Judges nothing, knows no markup.

Names come from outside: in sentences and lists they are made printable here (lab/store/plain.py); as fields they stay as they came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from lab.results.beside import cost_of, moves_of, stand_beside
from lab.results.evidence import Evidence
from lab.results.facts import (
    SCHEMA,
    ArmFacts,
    BaselineFacts,
    Facts,
    NextLook,
    PairFacts,
    RulesFacts,
    RunFacts,
    SectionFacts,
    StudyFacts,
)
from lab.results.footing import pairing_of
from lab.results.headings import head, lists_of_report, lists_of_section, section_head
from lab.results.lineup import Arm
from lab.results.marks import marks_of
from lab.results.pairs import mean
from lab.results.pin import Pin
from lab.results.reading import Verdict
from lab.results.record import Request, Run
from lab.results.remarks import remarks
from lab.results.report import Report, Section
from lab.results.sequential import level_in_force
from lab.results.studies import Study
from lab.results.typed import ByArm, command_of_study, commands, hypothesis, next_command, of_arm, requests_by_arm
from lab.results.wording import decimals_of, shown
from lab.store.plain import plain

DECIMALS = 4  # of a difference that isn't there


@dataclass
class Teller:
    """What every arm's telling looks things up in; a run's documents are read once, also the baseline's for many arms."""

    report: Report
    arms: str
    requests: ByArm
    told: dict[str, tuple[list[int], list[float]] | None] = field(default_factory=dict)

    def documents(self, run: Run) -> tuple[list[int], list[float]] | None:
        if run.directory not in self.told:
            self.told[run.directory] = self.report.lab.documents(run)
        return self.told[run.directory]


def tell(report: Report, arms: str = "*") -> Facts:
    """The facts of a report. `arms`: which are shown, by a pattern of their labels; what is corrected and counted stays the same."""
    teller = Teller(report, arms, requests_by_arm(report.lab.asked, report.lab.found, report.pin.name, report.pin.sha256))
    sections = tuple(tell_section(teller, section) for section in report.sections)
    return Facts(
        schema=SCHEMA,
        rules=tell_rules(report.pin),
        head=tuple(map(plain, head(report, arms, {arm.arm_id for section in sections for arm in section.arms}))),
        shown="" if arms == "*" else arms,
        sections=sections or (nothing_yet(report),),
        runs_read=report.runs_read,
        tried=report.tried,
        lists=lists_of_report(report),
    )


def fits(label: str, pattern: str) -> bool:
    """Whether a label is meant, in either spelling (model/norm=rmsnorm, model.norm=rmsnorm), with or without what tells it apart."""
    plainly = re.sub(r" \([0-9a-f]{6}\)$", "", label)
    return any(each == pattern or fnmatchcase(each, pattern) for name in (label, plainly) for each in (name, shown(name)))


def nothing_yet(report: Report) -> SectionFacts:
    """What stands in place of the cohorts where there is none."""
    return SectionFacts(
        cohort="",
        title="",
        here=False,
        apart="",
        smallest_effect=report.pin.smallest_effect,
        effect_origin="pinned" if report.pin.smallest_effect is not None else "'auto', and the baseline has no runs yet.",
        head=(),
        advice=tuple(each.command for each in report.advice),
        baseline=None,
        studies=(),
        arms=(),
        lists={},
        advice_why=tuple(plain(each.why) for each in report.advice),
    )


def tell_rules(rules: Pin) -> RulesFacts:
    return RulesFacts(
        baseline=rules.name,
        lock=rules.sha256,
        metric=rules.measure,
        unit=rules.unit,
        direction=rules.direction,
        alpha=rules.alpha,
        looks=rules.looks,
        seeds=rules.seeds,
        level=level_in_force(rules.alpha, rules.looks),
    )


def tell_section(teller: Teller, section: Section) -> SectionFacts:
    """One cohort."""
    baseline, pin = section.lineup.baseline, teller.report.pin
    verdicts = [verdict for verdict in section.verdicts if fits(verdict.label, teller.arms)]
    told = tuple(tell_arm(teller, section, verdict) for verdict in verdicts)
    return SectionFacts(
        cohort=section.cohort,
        title=section.title,
        here=section.here,
        apart=section.apart,
        smallest_effect=section.effect.value,
        effect_origin=section.effect.origin,
        head=tuple(map(plain, section_head(section, pin, told))),
        advice=tuple(each.command for each in section.advice),
        baseline=None if baseline is None else tell_baseline(baseline, pin, section.cohort, teller.requests),
        studies=tuple(map(tell_study, section.studies)),
        arms=told,
        lists=lists_of_section(section, pin, verdicts),
        advice_why=tuple(plain(each.why) for each in section.advice),
        factorials=section.factorials,
        value_curves=section.value_curves,
    )


def tell_study(study: Study) -> StudyFacts:
    return StudyFacts(study.name, study.question, study.arms, study.declared, tell_rules(study.rules), study.effect.value, study.design)


def tell_baseline(baseline: Arm, pin: Pin, cohort: str, requests: ByArm) -> BaselineFacts:
    """The baseline's own numbers, over all its runs on pinned seeds."""
    pinned = [run for seed, run in baseline.runs.items() if seed in pin.seeds]
    return BaselineFacts(
        arm_id=baseline.arm_id,
        mean=mean(value_of(run, pin) for run in pinned),
        cost=cost_of(run for run in pinned if run.done),
        runs=tell_runs(baseline, pin),
        commands=commands(of_arm(baseline, cohort, requests)),
    )


def tell_runs(arm: Arm, pin: Pin) -> tuple[RunFacts, ...]:
    return tuple(
        RunFacts(run.seed, run.identity, run.directory, run.status, value_of(run, pin), run.diverged_step, run.reason)
        for run in arm.runs.values()
    )


def value_of(run: Run, pin: Pin) -> float | None:
    return run.metrics.get(pin.measure) if run.status == "finished" else None


def tell_arm(teller: Teller, section: Section, verdict: Verdict) -> ArmFacts:
    """One arm: its verdict with all that stands beside it."""
    evidence, estimate, baseline = verdict.evidence, verdict.evidence.estimate, section.lineup.baseline
    mine = of_arm(evidence.arm, section.cohort, teller.requests)
    beside = stand_beside(verdict, baseline, teller.documents)
    return ArmFacts(
        arm_id=evidence.arm.arm_id,
        label=verdict.label,
        study=evidence.arm.study,
        screening=verdict.screening,
        hypothesis=hypothesis(mine),
        verdict=verdict.word,
        said=verdict.said,
        reading=verdict.reading,
        remarks=remarks(verdict, beside),
        marks=tuple(marks_of(verdict)),
        look=evidence.look,
        n=len(evidence.pairs),
        mean=evidence.mean_arm,
        mean_baseline=evidence.mean_baseline,
        difference=estimate.mean if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        decimals=decimals_of(estimate) if estimate else DECIMALS,
        p=verdict.p,
        family=verdict.family,
        spread=estimate.spread if estimate else None,
        gain=estimate.gain if estimate else None,
        correlation=estimate.correlation if estimate else None,
        sign_flip=beside.sign_flip,
        detectable=verdict.outlook.detectable,
        likely=verdict.outlook.likely,
        cautious=verdict.outlook.cautious,
        chance=verdict.outlook.chance,
        next=tell_next(verdict, section, mine, teller.requests),
        fragile=beside.fragile,
        variance=beside.variance,
        stability=beside.stability,
        documents=beside.documents,
        compute=beside.compute,
        cost=beside.cost,
        ratio=beside.ratio,
        pairs=tell_pairs(evidence),
        runs=tell_runs(evidence.arm, verdict.rules),
        moves=moves_of(evidence.arm, baseline),
        pairing=tuple(map(plain, pairing_of(verdict, teller.report.elsewhere))),
        commands=commands(mine),
        off_schedule=evidence.off_schedule,
        stop=verdict.stop,
    )


def tell_pairs(evidence: Evidence) -> tuple[PairFacts, ...]:
    return tuple(
        PairFacts(
            seed=pair.seed,
            arm=pair.arm,
            baseline=pair.baseline,
            difference=None if pair.arm is None or pair.baseline is None else pair.arm - pair.baseline,
            same_bits=pair.same_bits,
        )
        for pair in evidence.pairs
    )


def tell_next(verdict: Verdict, section: Section, mine: list[Request], requests: ByArm) -> NextLook | None:
    """The next look of an arm that isn't decided; no command where it isn't worth its seeds."""
    look, baseline = verdict.evidence.next, section.lineup.baseline
    if look is None or verdict.stop == "decided":
        return None
    study = verdict.evidence.arm.study
    if not verdict.stop and any(each.name == study and each.by_hand for each in section.studies):
        return NextLook(look.seeds, look.pending, look.seconds, command_of_study(study, verdict.rules.name, look))
    theirs = of_arm(baseline, section.cohort, requests) if baseline else []
    done = tuple({seed for seed, run in arm.runs.items() if run.done} if arm else set() for arm in (verdict.evidence.arm, baseline))
    command = "" if verdict.stop else next_command(look, mine, theirs, (done[0], done[1]))
    return NextLook(look.seeds, look.pending, look.seconds, command)
