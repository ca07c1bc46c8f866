"""The counts of planted cases: a bad one fails the test and is named, and a naive way that never fails is no proof."""

from __future__ import annotations

import pytest

from tests.cases import Cases


def test_a_bad_case_is_counted_named_and_fails() -> None:
    told: list[object] = []
    cases = Cases("kills", lambda _, value: told.append(value))
    assert cases.check("kill 1", True) and not cases.check("kill 2", False)
    with pytest.raises(AssertionError, match="1 of 2 cases are bad: kill 2"):
        cases.all_good()
    assert told == [("kills", "", 2, 1, "")]


def test_too_few_cases_fail_and_so_does_a_naive_way_without_a_bad_one() -> None:
    cases = Cases("kills", lambda *_: None)
    cases.check("kill 1", True)
    with pytest.raises(AssertionError, match="only 1 cases ran, 2 were planned"):
        cases.all_good(at_least=2)
    with pytest.raises(AssertionError, match="show nothing"):
        cases.some_bad()
