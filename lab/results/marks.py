"""What a verdict must not be read without, in a few words each. Makes text; concludes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.results.lineup import Arm
from lab.results.wording import counted
from lab.store.plain import plain

if TYPE_CHECKING:  # which reads a verdict with its marks
    from lab.results.reading import Verdict

MOST_STUDIES = 3  # named in a mark


def marks_of(verdict: Verdict) -> list[str]:
    """What a verdict must not be read without."""
    evidence = verdict.evidence
    across, apart, untold = evidence.across_bits, evidence.not_paired, len(evidence.untold)
    return [
        *([f"{counted(across, 'pair')} across bits"] if across else []),
        *([f"not paired in {' and '.join(apart)}"] if apart else []),
        *([f"pairing not told for {counted(untold, 'run')}"] if untold else []),
        *verdict.doubts,
        *marks_of_studies(evidence.arm),
    ]


def marks_of_studies(arm: Arm) -> list[str]:
    """Where else an arm counts, and by whose rules it is judged; nothing of an arm of one study."""
    if not arm.also:
        return []
    several = f"studies {', '.join(arm.also[:-1])} and {arm.also[-1]}" if len(arm.also) > 1 else f"study {arm.also[0]}"
    where = several if len(arm.also) <= MOST_STUDIES else f"{len(arm.also)} other studies"
    return [plain(f"also in {where}"), plain(f"judged by the rules of {arm.study}")]
