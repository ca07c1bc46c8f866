"""The table of simulated figures: each is recorded also when it fails, and the page on statistics must hold it."""

import pytest

from tests.figures import Figures, Row, rows_of


def figures_of(page: dict[str, Row] | None) -> tuple[Figures, list[object]]:
    recorded: list[object] = []
    return Figures(lambda name, value: recorded.append((name, value)), page), recorded


def test_a_figure_that_fails_is_recorded_before_it_fails():
    figures, recorded = figures_of(None)
    with pytest.raises(AssertionError, match=r"false claims: 0\.0700 is more than 0\.05"):
        figures.at_most("false claims", 0.07, 0.05)
    with pytest.raises(AssertionError, match=r"coverage: 0\.9000 is less than 0\.95"):
        figures.at_least("coverage", 0.9, 0.95)
    with pytest.raises(AssertionError, match=r"power: 0\.9000 is not within 0\.77 to 0\.83"):
        figures.within("power", 0.9, 0.77, 0.83)
    assert recorded[0] == ("figures", ("false claims", "0.0700", "at most 0.05"))
    assert len(recorded) == 3


def test_a_naive_rule_that_does_not_fail_as_it_is_known_to_is_a_failure_itself():
    figures, _ = figures_of(None)
    with pytest.raises(AssertionError, match=r"naive rule \(must fail\): peeking"):
        figures.known_failure("peeking", 0.05, 0.21, 0.25)


def test_the_page_must_hold_each_figure_as_it_is_measured_and_demanded():
    figures, _ = figures_of({"false claims": Row("0.0440", "at most 0.05")})
    figures.at_most("false claims", 0.0441, 0.05)
    with pytest.raises(AssertionError, match="it should say"):
        figures.at_most("false claims", 0.049, 0.05)
    with pytest.raises(AssertionError, match="it should say"):
        figures.at_most("false claims", 0.0441, 0.06)
    with pytest.raises(AssertionError, match=r"lacks the line\n\| others \| 0\.0441 \| at most 0\.05 \|"):
        figures.at_most("others", 0.0441, 0.05)


def test_the_page_on_statistics_has_the_table():
    assert "the judge: verdicts unlike those proved, of 3200, D = 1 s_d" in rows_of()
