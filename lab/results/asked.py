"""Which runs were asked for under one pin, and by which requests. Knows no cohort's or code's rules and no statistics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lab.results.record import LARGEST_INTEGER, Request, Run


@dataclass(frozen=True)
class Asked:
    """One run with the requests for it under this pin that may be judged, oldest first."""

    run: Run
    requests: tuple[Request, ...]

    @property
    def newest(self) -> Request:
        return self.requests[-1]

    @property
    def is_baseline(self) -> bool:
        """Whether it was ever asked for without a change."""
        return any(request.changes == 0 for request in self.requests)

    @property
    def is_edit(self) -> bool:
        """Whether it was ever asked for as the baseline under edited code, which is its only change."""
        return any(request.edit for request in self.requests)


def judged_request(request: Request) -> bool:
    """Zero or one change, or a cell of a declared factorial, and not exploring; else more than one change never counts, whoever let it
    through."""
    return not request.exploring and (request.changes <= 1 or bool(request.cell))


def asks_for_an_arm(request: Request) -> bool:
    """Whether it asks for a verdict on one change; a cell doesn't, even where it makes just one."""
    return judged_request(request) and request.changes == 1 and (request.edit or not request.cell)


def asks_for_a_cell(request: Request) -> bool:
    """Whether it asks for a cell or a point other than the baseline's."""
    return bool(request.cell) and request.changes > 0 and judged_request(request) and not request.edit


def pool(found: Iterable[Run], under: Iterable[Request]) -> tuple[list[Asked], tuple[Run, ...]]:
    """Each identity once, with its requests; and the runs that only explore.

    Of several folders one with an outcome counts, and of these the one that was asked for first: a later twin must not replace it.
    """
    requests: dict[str, list[Request]] = {}
    for request in under:
        requests.setdefault(request.directory, []).append(request)
    same: dict[str, list[Run]] = {}
    for run in found:
        same.setdefault(run.identity, []).append(run)
    asked, explored = [], []
    for runs in same.values():
        if requests.keys().isdisjoint(run.directory for run in runs):
            continue  # asked for under other pins
        first = {run.directory: min((each.number for each in requests.get(run.directory, [])), default=LARGEST_INTEGER) for run in runs}
        run = min(runs, key=lambda run: (not run.done, first[run.directory], run.directory))
        wanted = sorted((request for twin in runs for request in requests.get(twin.directory, [])), key=lambda request: request.number)
        if ordinary := tuple(request for request in wanted if judged_request(request)):
            asked.append(Asked(run, ordinary))
        elif wanted:
            explored.append(run)
    return asked, tuple(explored)


def grouped(asked: Iterable[Asked]) -> dict[str, list[Asked]]:
    groups: dict[str, list[Asked]] = {}
    for item in asked:
        groups.setdefault(item.run.arm_id, []).append(item)
    return groups


def counted_as(item: Asked) -> tuple[str, str]:
    """What newer code supersedes: the change; of an edit of the code only itself, since all edits leave the composition alone."""
    return item.run.change_id, item.run.arm_id if item.is_edit else ""


def reference_changes(asked: Iterable[Asked]) -> dict[str, str]:
    """Per cohort the change_id that is the baseline: that of the first request without a change, where it ran; else the cohort's first.

    Per cohort, since another text has other tokens. The first, since a later one must not replace what arms were compared with.
    """
    plain = [(request.number, item.run) for item in asked for request in item.requests if request.changes == 0]
    runs = [run for _, run in sorted(plain, key=lambda pair: (pair[0], pair[1].directory))]
    references: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: run.change_id != runs[0].change_id):  # stable: the very first change, then by request
        references.setdefault(run.cohort, run.change_id)
    return references


def as_arms(asked: Iterable[Asked]) -> list[Asked]:
    """What was asked for with a change, by those requests alone."""
    wanted = []
    for item in asked:
        requests = tuple(request for request in item.requests if asks_for_an_arm(request))
        if requests:
            wanted.append(item if len(requests) == len(item.requests) else replace(item, requests=requests))
    return wanted


def first_request(items: Iterable[Asked]) -> Request:
    return min((item.requests[0] for item in items), key=lambda request: (request.number, request.directory))


def newest_request(items: Iterable[Asked]) -> Request:
    return max((item.newest for item in items), key=lambda request: (request.number, request.directory))
