"""Random streams: what shares a key shares its draws, and nothing else does."""

import pytest
import torch

from lab import streams


def test_a_key_is_63_bits_and_depends_on_seed_purpose_and_every_name():
    keys = [
        streams.key(0, "init", "a", 1),
        streams.key(1, "init", "a", 1),
        streams.key(0, "data", "a", 1),
        streams.key(0, "init", "b", 1),
        streams.key(0, "init", "a", 2),
        streams.key(0, "init", "a", "1"),
        streams.key(0, "init", "a"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**63 for key in keys)
    assert keys[0] == 1955744436372280898, "keys have moved: every run so far was drawn from other streams"


@pytest.mark.parametrize("narrow", [1, 7, 15, 16, 17, 33, 64, 100, 127])
def test_a_wider_and_taller_matrix_has_the_same_draws_where_both_have_one(narrow):
    wide = streams.unit_rows(3, "blocks.0.mlp.up.weight", 6, 128)
    cut = streams.unit_rows(3, "blocks.0.mlp.up.weight", 4, narrow)
    assert torch.equal(cut, wide[:4, :narrow])


def test_rows_and_names_and_seeds_have_draws_of_their_own():
    one = streams.unit_rows(0, "a", 2, 16)
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, streams.unit_rows(0, "b", 2, 16))
    assert not torch.equal(one, streams.unit_rows(1, "a", 2, 16))


def test_draws_are_standard_normal():
    drawn = streams.unit_rows(0, "a", 500, 200)
    assert drawn.dtype == torch.float32 and drawn.is_contiguous()
    assert abs(drawn.mean().item()) < 0.02 and abs(drawn.std().item() - 1) < 0.02


def test_draws_do_not_depend_on_threads_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    threads = torch.get_num_threads()
    try:
        drawn = []
        for count in (1, 2):
            torch.set_num_threads(count)
            drawn.append(streams.unit_rows(0, "a", 3, 50_000))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*drawn)
    assert torch.equal(before, torch.get_rng_state())
