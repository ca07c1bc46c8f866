"""Checkpoints: what was saved comes back bit for bit, what was damaged is never used, what is another's is refused."""

from __future__ import annotations

import pytest
import torch

from lab.checkpoint import Checkpoint, digest, latest, pack, save
from lab.errors import ConfigError, StoreError
from lab.files import read_json, sealed, write_json

ME, OTHER = "a" * 64, "b" * 64


def state(value: float):
    return {
        "model": {"w": torch.full((3, 5), value), "half": torch.ones(2, dtype=torch.bfloat16)},
        "optimizer": {"state": {"w": {"step": torch.tensor(value), "count": 3}}, "groups": [{"lr": 0.1}]},
        "hooks": {"average": {"kept": [torch.arange(4), None, "word"], "none": {}}},
    }


def saved(folder, *steps):
    for step in steps:
        save(folder, Checkpoint(step, state(step), {"metrics.jsonl": 10 * step}, {"metrics.jsonl": f"{step:064x}"}), ME)


def same(a, b):
    return digest(a) == digest(b) and str(a) == str(b)


def test_what_was_saved_comes_back(tmp_path):
    saved(tmp_path, 3)
    found, warnings = latest(tmp_path, ME)
    assert warnings == [] and (found.step, found.offsets) == (3, {"metrics.jsonl": 30})
    assert found.digests == {"metrics.jsonl": f"{3:064x}"}
    assert same(found.state, state(3))


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert latest(tmp_path / "missing", ME) == (None, [])


def test_the_last_two_are_kept_and_nothing_else_lies_about(tmp_path):
    saved(tmp_path, 5, 10, 100_000_000, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000015.json",
        "step-00000015.safetensors",
        "step-100000000.json",
        "step-100000000.safetensors",
    ]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(bytes(content))


DAMAGE = {
    "flipped tensors": lambda folder: flip(folder / "step-00000010.safetensors"),
    "flipped json": lambda folder: flip(folder / "step-00000010.json"),
    "cut tensors": lambda folder: (folder / "step-00000010.safetensors").write_bytes(b"x"),
    "empty json": lambda folder: (folder / "step-00000010.json").write_bytes(b""),
    "no tensors": lambda folder: (folder / "step-00000010.safetensors").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_older_with_a_warning(tmp_path, damage):
    saved(tmp_path, 5, 10)
    DAMAGE[damage](tmp_path)
    found, warnings = latest(tmp_path, ME)
    assert found.step == 5 and same(found.state, state(5))
    assert len(warnings) == 1 and "step-00000010.json is damaged" in warnings[0]


def test_a_crash_before_the_json_file_leaves_the_older(tmp_path):
    saved(tmp_path, 5, 10)
    (tmp_path / "step-00000010.json").unlink()
    found, warnings = latest(tmp_path, ME)
    assert (found.step, warnings) == (5, [])


def test_when_all_are_damaged_nothing_starts_over_in_silence(tmp_path):
    saved(tmp_path, 5, 10)
    for path in tmp_path.glob("*.safetensors"):
        flip(path)
    with pytest.raises(StoreError, match=r"(?s)no checkpoint.*step-00000010.*step-00000005.*move the run's folder"):
        latest(tmp_path, ME)


def test_another_runs_checkpoint_is_refused(tmp_path):
    saved(tmp_path, 5)
    with pytest.raises(StoreError, match="belongs to run aaaaaaaaaaaa, this is run bbbbbbbbbbbb"):
        latest(tmp_path, OTHER)


@pytest.mark.parametrize(("schema", "said"), [(99, "schema 99"), (None, r"schema \(none\)")], ids=["a later one", "one without a number"])
def test_a_checkpoint_of_another_version_is_refused_and_no_older_one_stands_in(tmp_path, schema, said):
    """Whole and sealed, so it isn't damage; which fields it has, and what they mean, is another version's matter."""
    saved(tmp_path, 5, 10)
    path = tmp_path / "step-00000010.json"
    about = {name: value for name, value in read_json(path).items() if name not in ("schema", "offsets")}
    write_json(path, sealed(about if schema is None else about | {"schema": schema}))
    with pytest.raises(StoreError, match=rf"step-00000010\.json has {said}, this version reads 1: (.|\n)*move"):
        latest(tmp_path, ME)


def test_every_bit_flip_is_seen(tmp_path):
    """Without digests, most flips in a tensor file load in silence as other numbers."""
    saved(tmp_path, 5)
    path = tmp_path / "step-00000005.safetensors"
    whole = path.read_bytes()
    bad = 0
    for bit in range(0, len(whole) * 8, 31):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(content))
        try:
            latest(tmp_path, ME)
            bad += 1
        except StoreError as error:
            assert "digest isn't the recorded one" in str(error)
    assert bad == 0, f"{bad} of {len(whole) * 8 // 31} flips went unseen"


def test_a_digest_sees_name_dtype_shape_and_bytes():
    base = torch.zeros(2, 3)
    others = [{"b": base}, {"a": base.double()}, {"a": base.view(3, 2)}, {"a": base + 1e-30}, {"a": -base}]
    digests = {digest({"a": base}), *(digest(other) for other in others)}
    assert len(digests) == 6
    assert digest({"a": base.t().contiguous().t()}) == digest({"a": base})


def test_numbers_that_json_cannot_hold_and_views_of_one_memory_come_back(tmp_path):
    whole = torch.arange(4.0)
    state = {"best": float("inf"), "worst": float("-inf"), "whole": whole, "part": whole[1:3]}
    save(tmp_path, Checkpoint(1, state, {}), "a" * 64)
    found, _ = latest(tmp_path, "a" * 64)
    assert found.state["best"] == float("inf") and found.state["worst"] == float("-inf")
    assert found.state["whole"].tolist() == [0, 1, 2, 3] and found.state["part"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("state", "words"), [({"hooks": {3: 1}}, "keys that aren't text: 3"), ({"hooks": {"a": object()}}, "'hooks.a' holds a object")]
)
def test_a_state_that_cannot_be_kept_is_told_by_its_place(state, words):
    with pytest.raises(ConfigError, match=words):
        pack(state)
