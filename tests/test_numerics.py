import math

from lab.numerics import bits_per_byte, finite_or_none, perplexity


def test_eight_fair_coin_flips_that_spell_one_byte_cost_eight_bits():
    assert math.isclose(bits_per_byte(8 * math.log(2), 1), 8)


def test_perplexity_is_the_number_of_equally_likely_tokens():
    assert math.isclose(perplexity(math.log(50)), 50)
    assert perplexity(1e6) == math.inf
    assert math.isnan(perplexity(math.nan))


def test_what_json_cannot_hold_is_none():
    assert [finite_or_none(value) for value in (1.5, math.nan, math.inf, -math.inf)] == [1.5, None, None, None]
