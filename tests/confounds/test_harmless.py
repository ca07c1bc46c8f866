"""The other side of the corpus: no harmless difference is refused or flagged, or makes another run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cases import Cases
from tests.confounds.harmless import HARMLESS
from tests.confounds.world import Here


def test_no_harmless_difference_is_refused_or_flagged_or_makes_another_run(
    here: Callable[[int, pytest.MonkeyPatch], Here], cases: Callable[[str], Cases]
) -> None:
    ours = cases("harmless differences, let through")
    for number, case in enumerate(HARMLESS):
        with pytest.MonkeyPatch.context() as patch:
            said = case.plant(here(number, patch))
        ours.check(f"{case.name} [{said}]", not said)
    ours.all_good(at_least=20)
