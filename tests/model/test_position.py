"""Positions: sinusoidal equals its formula, rotary scores depend on the distance only."""

from __future__ import annotations

import math

import pytest
import torch

from lab.errors import ConfigError
from lab.model.position.rope import RotaryPosition
from lab.model.position.sinusoidal import SinusoidalPosition
from tests.model.tiny import model, option

# B batch  T position  D width  N heads  H head width


@pytest.mark.parametrize("width", [8, 7])
def test_sinusoidal_equals_the_formula_of_the_paper(width):
    position = SinusoidalPosition(20, width, 1, base=10000.0, amplitude=0.5)
    added_BTD = position(torch.zeros(1, 20, width))
    for t in range(20):
        for entry in range(width):
            angle = t / 10000 ** (2 * (entry // 2) / width)
            formula = math.cos(angle) if entry % 2 else math.sin(angle)
            assert added_BTD[0, t, entry].item() == pytest.approx(0.5 * formula, abs=1e-6)


def test_fixed_positions_have_no_parameters_and_stand_in_no_checkpoint():
    for name in ("sinusoidal", "rope", "none"):
        assert not [key for key in model(position=option("position", name)).state_dict() if "position" in key]


def test_a_rotary_score_depends_on_the_distance_only():
    rotary = RotaryPosition(64, 32, 2, base=10000.0)
    draw = torch.Generator().manual_seed(0)
    query_BNTH, key_BNTH = (torch.randn(1, 1, 1, 16, generator=draw).expand(1, 1, 64, 16) for _ in range(2))
    scores_TS = (rotary.turn(query_BNTH) @ rotary.turn(key_BNTH).transpose(-2, -1))[0, 0]
    for distance in range(-63, 64):
        assert scores_TS.diagonal(distance).std(correction=0) < 1e-5
    assert scores_TS[0].std() > 0.1


def test_turning_keeps_lengths_and_leaves_the_first_position_alone():
    rotary = RotaryPosition(64, 32, 2, base=100.0)
    x_BNTH = torch.randn(2, 2, 64, 16, generator=torch.Generator().manual_seed(0))
    turned_BNTH = rotary.turn(x_BNTH)
    assert torch.allclose(turned_BNTH.norm(dim=-1), x_BNTH.norm(dim=-1), atol=1e-5)
    assert torch.equal(turned_BNTH[:, :, 0], x_BNTH[:, :, 0])


def test_the_first_pair_turns_by_one_radian_a_position():
    rotary = RotaryPosition(8, 4, 1, base=10000.0)
    x_BNTH = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 1, 8, 4)
    for t, turned_H in enumerate(rotary.turn(x_BNTH)[0, 0]):
        assert turned_H.tolist() == pytest.approx([math.cos(t), 0, math.sin(t), 0], abs=1e-6)


def test_an_odd_head_width_is_refused():
    with pytest.raises(ConfigError, match="d_model / n_heads = 5, must be even"):
        model(d_model=10, position=option("position", "rope"))
