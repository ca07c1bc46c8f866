"""Which arms were ever declared or asked for together: the families that Holm corrects for. Counts what was meant, data or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lab.results.asked import asks_for_a_cell, asks_for_an_arm
from lab.results.record import Request, Run
from lab.store.declaration import Declaration


def find_families(
    under: Iterable[Request],
    found: Iterable[Run],
    base_ids: set[str],
    base_changes: set[str],
    declarations: Mapping[str, Declaration],
    judged_in: Iterable[tuple[str, str]],
) -> dict[str, frozenset[str]]:
    """Per study every arm, cell or point declared or ever requested in it under this pin, by its arm_id.

    By its label where none of its runs can be read, and by its change_id where it was declared and never asked for. `judged_in`: of
    each arm that may be judged, the study by whose rules it is.
    """
    runs = {run.directory: run for run in found}
    every = sorted(under, key=lambda request: request.number)
    requests = [each for each in every if asks_for_an_arm(each)]
    of_cells = [each for each in every if asks_for_a_cell(each)]
    families: dict[str, set[str]] = {study: set() for study in declarations}
    for study, arm_id in judged_in:
        families.setdefault(study, set()).add(arm_id)
    arm_ids: dict[str, str] = {}  # of each change, the one first asked for
    for request in requests:
        run = runs.get(request.directory)
        if run is not None and (request.edit or run.arm_id not in base_ids):
            families.setdefault(request.study, set()).add(run.arm_id)
            if not request.edit:
                arm_ids.setdefault(run.change_id, run.arm_id)
    for request in of_cells:  # a cell counts once, whatever its code; its declaration may be gone
        run = runs.get(request.directory)
        if run is not None and run.arm_id not in base_ids and run.change_id not in base_changes:
            families.setdefault(request.study, set()).add(arm_ids.setdefault(run.change_id, run.arm_id))
    requests += of_cells
    named = {(request.study, request.label) for request in requests if request.directory in runs}
    for request in requests:
        if request.directory not in runs and (request.study, request.label) not in named:
            families.setdefault(request.study, set()).add(request.label)
    changes = {run.arm_id: run.change_id for run in runs.values()}
    for study, declaration in declarations.items():
        asked = {changes.get(each, each) for each in families[study]}  # a change_id, or a label
        for arm in declaration.arms:
            # an edit of the code leaves the composition as it is: it counts when it is asked for
            if arm.change_id not in asked | base_changes and (arm.change_id in arm_ids or arm.label not in asked):
                families[study].add(arm_ids.get(arm.change_id, arm.change_id))
    return {study: frozenset(family) for study, family in sorted(families.items()) if family}  # a sweep of the baseline alone is none
