"""Which runs are a cohort's baseline: those under its newest requested code, and under code that certificates join with that.

Owns what counts as the baseline's code, so which arms may be compared with it. Knows no statistics; reads no file but findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ablate.certificate import CodeMap, Finding, clashing_modules, comparable, joined, map_hash, read_findings
from lab.results.asked import Asked, reference_changes


@dataclass(frozen=True)
class Reference:
    """The baseline in one cohort."""

    cohort: str
    change_id: str
    items: tuple[Asked, ...]  # its runs: pooled over code that certificates join
    older: tuple[Asked, ...]  # its runs under code that none joins with that
    maps: tuple[CodeMap, ...]  # the code of its newest request, then what is joined with it
    findings: tuple[Finding, ...]  # of its composition in this cohort, whatever they found

    def moved(self, code: CodeMap) -> list[str]:
        """The modules in which code differs from each of the joined maps, told against the nearest. Empty: comparable."""
        if comparable(code, self.maps):
            return []
        return min((clashing_modules(code, each) for each in self.maps), key=len)

    def tried(self, code: CodeMap) -> Finding | None:
        """A replay of this baseline under such code that found a difference."""
        return next((each for each in self.findings if not each.inert and comparable(code, [each.new])), None)


def find_references(asked: Iterable[Asked], findings: Iterable[Finding]) -> dict[str, Reference]:
    """The baseline of each cohort that has one."""
    asked, findings = list(asked), list(findings)
    return {
        cohort: find_reference([item for item in asked if item.run.cohort == cohort], findings, cohort, change_id)
        for cohort, change_id in reference_changes(asked).items()
    }


def find_reference(items: Iterable[Asked], findings: Iterable[Finding], cohort: str, change_id: str) -> Reference:
    """The baseline of one cohort, from all that was asked for there: its code is that of the newest request without a change."""
    meant = [item for item in items if item.run.change_id == change_id]
    arm_ids = {item.run.arm_id for item in meant if item.is_baseline}
    bases = [item for item in meant if item.is_baseline or (item.run.arm_id in arm_ids and not item.is_edit)]
    newest = max((item for item in bases if item.is_baseline), key=plainly_asked)
    findings = [each for each in findings if (each.cohort, each.change_id) == (cohort, change_id)]
    maps = joined_maps(newest.run.code, findings, cohort, change_id)
    names = {map_hash(each) for each in maps}
    inside = [map_hash(item.run.code) in names for item in bases]
    return Reference(
        cohort=cohort,
        change_id=change_id,
        items=tuple(item for item, here in zip(bases, inside, strict=True) if here),
        older=tuple(item for item, here in zip(bases, inside, strict=True) if not here and not item.is_edit),
        maps=tuple(maps),
        findings=tuple(findings),
    )


def joined_maps(code: CodeMap, findings: list[Finding], cohort: str, change_id: str) -> list[dict[str, str]]:
    """The maps that certificates join with `code`, itself first, without those that a direct comparison told apart from another of them.

    A replay that found a difference wins over any chain of certificates, which looked at a few steps each.
    """
    names = {map_hash(each) for each in joined(code, findings, cohort, change_id)}
    ends = [(each, {map_hash(each.old), map_hash(each.new)}) for each in findings]
    apart = {name for each, both in ends if not each.inert and both <= names for name in both} - {map_hash(code)}
    return joined(code, [each for each, both in ends if not both & apart], cohort, change_id)


def plainly_asked(item: Asked) -> tuple[int, str]:
    """When a run was last asked for as the baseline itself."""
    return max(request.number for request in item.requests if request.changes == 0), item.run.arm_id


def why_other_code(code: CodeMap, reference: Reference | None, baseline: str) -> str:
    """Why an arm under such code is refused, and the way out. Empty: comparable, or there is nothing to compare it with yet."""
    edited = reference.moved(code) if reference else []
    if reference is None or not edited:
        return ""
    differs = f"Its code isn't the baseline's: {', '.join(edited)} {'differs' if len(edited) == 1 else 'differ'}"
    found = reference.tried(code)
    if found is not None:
        return f"{differs}; a replay of the baseline found that it matters: {found.words()}"
    return f"{differs}, and no certificate excuses that ({way_out(baseline)})"


def way_out(baseline: str) -> str:
    return f"python -m lab certify --baseline {baseline} replays the baseline under today's code"


def leans(finding: Finding, pairs: Iterable[tuple[CodeMap, CodeMap]]) -> bool:
    """Whether one of these pairs of runs (an arm's code, its baseline's) is comparable only since this certificate excuses a module."""
    return finding.inert and any(set(finding.modules) & set(clashing_modules(code, base)) for code, base in pairs)


def joins(finding: Finding, maps: Iterable[CodeMap]) -> bool:
    """Whether a certificate is one of those that joined these maps."""
    names = {map_hash(each) for each in maps}
    return finding.inert and {map_hash(finding.old), map_hash(finding.new)} <= names


def finding_line(finding: Finding) -> str:
    """One replay: which edit, what it came to, from which run and in what time."""
    old, new = map_hash(finding.old)[:8], map_hash(finding.new)[:8]
    outcome = "replayed, " + finding.words() if finding.inert else "replayed, a change: " + finding.words()
    return f"{', '.join(finding.modules)} (code {old} to {new}): {outcome} ({finding.run}, {finding.seconds:.1f} s)"


def said_of_code(runs: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What replays found on the code of one run, for `lab show`; damaged findings are named."""
    findings, left_out = read_findings(runs, manifest["baseline"])
    about = (each for each in findings if each.cohort == manifest["cohort"] and concerns(each, manifest["code"]))
    return [*map(finding_line, about), *(f"{name} can't be used: {why}" for name, why in left_out)]


def concerns(finding: Finding, code: CodeMap) -> bool:
    """Whether code is one of the two maps; an arm's, which has modules of its own: whether it agrees with just one of them."""
    same = map_hash(code) in (map_hash(finding.old), map_hash(finding.new))
    return same or comparable(code, [finding.old]) != comparable(code, [finding.new])
