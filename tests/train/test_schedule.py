import pytest

from lab.train.schedule import Cosine


def test_it_rises_to_the_peak_and_ends_at_its_final_share():
    rates = [Cosine(warmup=0.1, final=0.2).rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(0.2)
    assert rates[9:] == sorted(rates[9:], reverse=True)


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.33, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_a_rate_is_a_share_of_the_peak_at_every_budget(warmup, steps):
    rates = [Cosine(warmup=warmup, final=0.1).rate(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)


def test_the_same_share_of_another_budget_has_about_the_same_rate():
    schedule = Cosine(warmup=0.05, final=0.1)
    assert schedule.rate(500, 1000) == pytest.approx(schedule.rate(5000, 10000), abs=1e-3)


def test_no_warmup_starts_at_the_peak():
    assert Cosine(warmup=0.0, final=0.1).rate(0, 100) == 1.0
