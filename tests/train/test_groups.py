"""Parameter groups: who is in which, what decays, and what the optimizer is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lab.train.groups import parameter_groups

DECAY = {"matrices": True, "embeddings": True, "vectors": False}
RATE = {"matrices": 1.0, "embeddings": 1.0, "vectors": 1.0}


def named(*parts: tuple[str, int]) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name and number of dimensions."""
    return [(name, nn.Parameter(torch.zeros((2,) * dimensions))) for name, dimensions in parts]


MODEL = named(
    ("embedding.weight", 2),
    ("position.weight", 2),
    ("blocks.0.norm1.weight", 1),
    ("blocks.0.attention.query.weight", 2),
    ("blocks.0.position.weight", 2),
    ("blocks.0.mlp.up.weight", 2),
    ("final_norm.weight", 1),
    ("head.weight", 2),
)


def members(decay=DECAY, rate=RATE, model=MODEL):
    return {group.name: [name for name, _ in group.named_parameters] for group in parameter_groups(model, decay, rate)}


def test_tables_are_embeddings_norms_are_vectors_and_the_rest_are_matrices():
    assert members() == {
        "matrices": ["blocks.0.attention.query.weight", "blocks.0.position.weight", "blocks.0.mlp.up.weight"],
        "embeddings": ["embedding.weight", "position.weight", "head.weight"],
        "vectors": ["blocks.0.norm1.weight", "final_norm.weight"],
    }


def test_matrices_come_first_since_their_rate_is_the_one_that_is_logged():
    assert list(members()) == ["matrices", "embeddings", "vectors"]


def test_a_vector_is_one_whatever_its_name():
    assert members(model=named(("head.weight", 1), ("scale", 0))) == {"vectors": ["head.weight", "scale"]}


def test_a_group_without_parameters_is_left_out():
    assert members(model=named(("blocks.0.mlp.up.weight", 2))) == {"matrices": ["blocks.0.mlp.up.weight"]}


@pytest.mark.parametrize("group", ["matrices", "embeddings", "vectors"])
def test_each_group_is_told_its_own_decay_and_its_share_of_the_rate(group):
    decay = {name: name == group for name in DECAY}
    rate = {name: 0.5 if name == group else 2.0 for name in RATE}
    for each in parameter_groups(MODEL, decay, rate):
        settings = each.settings(lr=0.1, weight_decay=0.3)
        mine = each.name == group
        assert (settings["name"], settings["lr"], settings["weight_decay"]) == (each.name, 0.05 if mine else 0.2, 0.3 if mine else 0.0)
        assert [id(parameter) for parameter in settings["params"]] == [id(parameter) for _, parameter in each.named_parameters]
