"""Which arms were ever asked for together: the families that Holm corrects for. Counts what was tried, whether or not there is data."""

from __future__ import annotations

from collections.abc import Iterable

from lab.results.asked import judged_request
from lab.results.record import Request, Run


def find_families(under: Iterable[Request], found: Iterable[Run], base_ids: set[str]) -> dict[str, frozenset[str]]:
    """Per study every arm ever requested in it under this pin, whether or not there is data: this is what Holm corrects for."""
    runs = {run.directory: run for run in found}
    arm_ids = {directory: run.arm_id for directory, run in runs.items()}
    first_study: dict[tuple[str, str], str] = {}  # of each change, whatever its code: an edited arm stays in the family it was declared in
    requests = sorted((each for each in under if judged_request(each) and each.changes == 1), key=lambda request: request.number)
    families: dict[str, set[str]] = {}
    for request in requests:
        if (arm_id := arm_ids.get(request.directory)) is not None and (request.edit or arm_id not in base_ids):
            change = runs[request.directory].change_id, arm_id if request.edit else ""
            study = first_study.setdefault(change, request.study)
            for each in (request.study, study):
                families.setdefault(each, set()).add(arm_id)
    named = {(request.study, request.label) for request in requests if request.directory in arm_ids}
    for request in requests:
        if request.directory not in arm_ids and (request.study, request.label) not in named:
            families.setdefault(request.study, set()).add(request.label)
    return {study: frozenset(family) for study, family in sorted(families.items())}
