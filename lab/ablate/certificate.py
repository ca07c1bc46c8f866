"""Findings about edits of the code: what a replay of a finished baseline run under the edited code came to, kept as files.

A finding that found nothing moved is a **certificate of inertness**: it joins two code maps, for one baseline's composition in
one cohort. One that found a difference keeps it, so that nobody replays for it twice. Knows files and maps; replays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.files import read_sealed, sealed, sha256_of, write_json

SCHEMA = 1
CodeMap = Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    """One replay: from which run, of what, with which outcome. Maps are those of the baseline's modules, module to hash."""

    baseline: str
    change_id: str
    """of the baseline's own composition"""
    cohort: str
    bits: str
    """SHA-256 of the bits that were replayed: under others the edit was not tried"""
    run: str
    """directory of the replayed run, below runs/"""
    seed: int
    old: dict[str, str]
    """the code map that the run was trained under"""
    new: dict[str, str]
    """the code map that was tried"""
    spans: list[list[int]]
    """first and last step (counted from 0) of each stretch that was trained again"""
    other_seeds: list[int]
    """further baseline runs whose first weights, schedule, data order and dropout keys were made again"""
    difference: dict[str, Any] | None
    """None: all bit-equal. Else `at` (the step or place), `what` (the tensor or column), `was` and `now`"""
    seconds: float

    @property
    def inert(self) -> bool:
        return self.difference is None

    @property
    def modules(self) -> list[str]:
        """What the edit touched."""
        return moved_modules(self.old, self.new)

    def words(self) -> str:
        """What was replayed, never more than that."""
        if self.difference is not None:
            return f"the first difference is at {self.difference['at']}: {self.difference['what']}"
        spans = " and ".join(f"{first}-{last}" for first, last in self.spans)
        return f"inert for the baseline at steps {spans} and in the final evaluation"


def moved_modules(old: CodeMap, new: CodeMap) -> list[str]:
    """The modules that two maps don't share, or that differ."""
    return sorted(module for module in old.keys() | new.keys() if old.get(module) != new.get(module))


def clashing_modules(code: CodeMap, other: CodeMap) -> list[str]:
    """The modules that two maps both have and that differ."""
    return sorted(module for module in code.keys() & other.keys() if code[module] != other[module])


def map_hash(code: CodeMap) -> str:
    """The name of a code map."""
    return sha256_of(dict(code))


def certificates(runs: Path, baseline: str) -> Path:
    """Where the findings of a baseline lie; `runs` is the store."""
    return runs / baseline / "certificates"


def write_finding(runs: Path, finding: Finding) -> Path:
    """Keep a finding durably, in the place of an older one of the same two maps. Returns its file."""
    names = (map_hash(finding.old), map_hash(finding.new), finding.cohort, finding.change_id, finding.bits)
    path = certificates(runs, finding.baseline) / ("-".join(name[:8] for name in names) + ".json")
    write_json(path, sealed({"schema": SCHEMA} | asdict(finding)))
    return path


def read_findings(runs: Path, baseline: str) -> tuple[list[Finding], list[tuple[str, str]]]:
    """Every finding of a baseline, in the order of their names, and what could not be read: its path below runs/, and why."""
    found, left_out = [], []
    for path in sorted(certificates(runs, baseline).glob("*.json")):
        try:
            found.append(parse_finding(read_sealed(path), baseline))
        except (OSError, ValueError) as error:
            left_out.append((path.relative_to(runs).as_posix(), f"{type(error).__name__}: {error}".replace(str(path), path.name)))
    return found, left_out


def parse_finding(content: Mapping[str, Any], baseline: str) -> Finding:
    """What a file in this baseline's folder holds. Raises ValueError for another baseline's finding, and for a field of another type."""
    if content.get("schema") != SCHEMA:
        raise ValueError(f"schema {content.get('schema')!r}, this version reads {SCHEMA}")
    odd = [name for name, fits in FITTING.items() if not fits(content.get(name))]
    if odd:
        raise ValueError(f"{', '.join(map(repr, odd))}: not as {'it is' if len(odd) == 1 else 'they are'} written")
    if content["baseline"] != baseline:
        raise ValueError(f"it is about baseline {content['baseline']!r}, and lies with those of {baseline!r}")
    if content["difference"] is None and not content["spans"]:
        raise ValueError("it says inert, and nothing was replayed")
    return Finding(**{name: content[name] for name in FITTING})


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_text, value.values()))


def is_span(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_count, value))


def is_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**63


FITTING: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("baseline", "change_id", "cohort", "bits", "run"), is_text),
    "seed": is_count,
    **dict.fromkeys(("old", "new"), is_map),
    "spans": lambda value: isinstance(value, list) and all(map(is_span, value)),
    "other_seeds": lambda value: isinstance(value, list) and all(map(is_count, value)),
    "difference": lambda value: value is None or (isinstance(value, dict) and {"at", "what"} <= value.keys()),
    "seconds": is_duration,
}


def joined(code: CodeMap, findings: Iterable[Finding], cohort: str, change_id: str) -> list[dict[str, str]]:
    """The baseline's code maps that certificates of this cohort and composition join with `code`, itself first; transitive."""
    certain = [each for each in findings if each.inert and (each.cohort, each.change_id) == (cohort, change_id)]
    reached = {map_hash(code): dict(code)}
    waiting = [map_hash(code)]
    while waiting:
        here = waiting.pop()
        for each in certain:
            names = {map_hash(each.old): each.old, map_hash(each.new): each.new}
            if here in names:
                new = {name: other for name, other in names.items() if name not in reached}
                reached |= new
                waiting += new
    return list(reached.values())


def comparable(code: CodeMap, maps: Iterable[CodeMap]) -> bool:
    """Whether code agrees with one of the joined maps wherever both have a module (a change brings modules of its own)."""
    return any(not clashing_modules(code, each) for each in maps)
