"""What the verdicts stand on, in lines: what each arm shares with the baseline, and the certificates that join their code.

Makes text from what manifests and replays say; judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.results.collect import Lab
from lab.results.evidence import Evidence
from lab.results.lineup import Lineup
from lab.results.pin import Pin
from lab.results.reading import Verdict
from lab.results.reference import finding_line, joins, leans
from lab.results.wording import seed_list, shown
from lab.store.manifest import not_paired, pairing_in_words

UNTOLD = "not told in the manifest"
EDITED = "not counted: its change is the code, and there was no run of this seed under the baseline's"


def pairing_of(verdict: Verdict, elsewhere: Mapping[str, str]) -> list[str]:
    """What an arm shares with the baseline: one line, or one per kind where its seeds differ.

    `elsewhere` names what a run was first trained for.
    """
    kinds: dict[str, list[int]] = {}
    for seed in judged_seeds(verdict.evidence):
        run = verdict.evidence.arm.runs[seed]
        edited = verdict.evidence.arm.is_edit and run.pairing is None
        words = EDITED if edited else pairing_line(run.pairing, elsewhere.get(run.directory))
        kinds.setdefault(words, []).append(seed)
    return [f"{f'{seed_list(seeds)}: ' if len(kinds) > 1 else ''}{words}" for words, seeds in sorted(kinds.items())]


def judged_seeds(evidence: Evidence) -> list[int]:
    return [pair.seed for pair in evidence.pairs]


def pairing_line(pairing: Mapping[str, Any] | None, trained_for: str | None) -> str:
    """The pairing of one run; what isn't paired stands first."""
    if pairing is None:
        return UNTOLD
    apart = not_paired(pairing)
    warning = f"NOT PAIRED IN {' AND '.join(apart).upper()}. " if apart else ""
    other = f" (told against {trained_for}, for which it was trained)" if trained_for else ""
    return f"{warning}{pairing_in_words(pairing)}{other}"


def trained_elsewhere(lab: Lab, pin: Pin) -> dict[str, str]:
    """The runs that were trained for another pin and found for this one: their manifests tell the pairing with the other."""
    first: dict[str, tuple[str, str]] = {}
    for request in lab.asked:
        first.setdefault(request.directory, (request.baseline, request.lock))
    others = {directory: asked for directory, asked in first.items() if asked != (pin.name, pin.sha256)}
    return {directory: f"baseline {name}, lock {lock[:8]}" for directory, (name, lock) in others.items()}


def certificate_lines(lineup: Lineup, verdicts: Iterable[Verdict]) -> list[str]:
    """Each replay of the judged baseline, what it found, and which verdicts lean on that."""
    reference, baseline = lineup.reference, lineup.baseline
    if reference is None or baseline is None:
        return []
    lines = []
    for finding in reference.findings:
        if not joins(finding, reference.maps):
            lines.append(f"{finding_line(finding)}{', and joins no code that is compared here' if finding.inert else ''}")
            continue
        leaning = []
        for verdict in verdicts:
            arm, seeds = verdict.evidence.arm, judged_seeds(verdict.evidence)
            if not arm.is_edit and leans(finding, ((arm.runs[seed].code, baseline.runs[seed].code) for seed in seeds)):
                leaning.append(shown(verdict.label))
        # a baseline whose own seeds are of several codes is pooled by it for every arm
        mixed = leans(finding, ((run.code, next(iter(baseline.runs.values())).code) for run in baseline.runs.values()))
        if mixed:
            use = "the baseline's seeds are pooled by it: every verdict leans on it"
        elif leaning:
            use = f"{', '.join(leaning)} {'leans' if len(leaning) == 1 else 'lean'} on it"
        else:
            use = "no verdict leans on it"
        lines.append(f"{finding_line(finding)}; {use}")
    return lines
