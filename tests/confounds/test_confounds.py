"""The corpus of confounds: every planted one is refused or flagged, with its key and both values."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.cases import Cases
from tests.confounds.case import Planted, misled
from tests.confounds.refusals import REFUSALS
from tests.confounds.reports import REPORTS
from tests.confounds.resumed import RESUMED
from tests.confounds.runs import RUNS
from tests.confounds.world import Here

CONFOUNDS = (*REFUSALS, *RUNS, *REPORTS, *RESUMED)
SMALLEST_EFFECT = 0.005  # D in the stores of reports.py
SHOWN = "SHOW"  # set in the environment: what was said of each bad case is printed (with pytest -s)


def test_every_planted_confound_is_refused_or_flagged_with_its_key_and_both_values(
    here: Callable[[int, pytest.MonkeyPatch], Here], cases: Callable[[str], Cases]
) -> None:
    ours, naive = cases("planted confounds, refused or flagged"), cases("planted confounds, in a comparison of final metrics")
    for number, case in enumerate(CONFOUNDS):
        with pytest.MonkeyPatch.context() as patch:
            try:
                planted = case.plant(here(number, patch))
                wrong = case.missing(planted)
            except AssertionError as error:
                planted, wrong = Planted(""), f"{error}"
        if not ours.check(f"{case.name} [{wrong}]", not wrong) and os.environ.get(SHOWN):
            print(f"##### {case.name} [{wrong}]\n{planted.said}")
        if planted.truth is not None:
            naive.check(case.name, not misled(planted, SMALLEST_EFFECT))
    ours.all_good(at_least=50)
    naive.note = "of those whose numbers are planted; bad: off by more than D"
    naive.some_bad(at_least=10)
