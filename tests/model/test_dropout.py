"""Keyed dropout: the same place in the run gets the same mask, any other place another."""

import torch

from lab.model.dropout import DropoutKeys, KeyedDropout

ONES = torch.ones(64, 64)


def masks(seed=0, step=0, micro_batch=0, path="embedding_dropout", calls=1, share=0.25):
    keys = DropoutKeys(seed)
    site = KeyedDropout(path, share=share, keys=keys)
    keys.begin(step, micro_batch)
    return [site(ONES) for _ in range(calls)]


def test_masks_repeat_at_the_same_place():
    assert torch.equal(masks()[0], masks()[0])


def test_masks_differ_by_seed_step_micro_batch_site_and_call():
    seen = [*masks(calls=2), *masks(seed=1), *masks(step=1), *masks(micro_batch=1), *masks(path="blocks.0.mlp_dropout")]
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_the_share_is_dropped_and_the_rest_scaled_up():
    mask = masks()[0]
    assert torch.allclose(mask.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs((mask == 0).float().mean().item() - 0.25) < 0.03


def test_nothing_is_dropped_in_evaluation_or_at_share_zero():
    keys = DropoutKeys(0)
    assert KeyedDropout("a", share=0.5, keys=keys).eval()(ONES) is ONES
    assert KeyedDropout("a", share=0.0, keys=keys)(ONES) is ONES


def test_the_global_generator_stands_still():
    before = torch.get_rng_state()
    masks()
    assert torch.equal(before, torch.get_rng_state())
