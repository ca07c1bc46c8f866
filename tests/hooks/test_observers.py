"""The numbers and texts of each observer are those that one would compute by hand."""

from __future__ import annotations

import math
import sys

import pytest
import torch

from lab import streams
from lab.errors import ConfigError
from lab.files import read_rows
from lab.hooks.part import part_of
from lab.sampling import continue_tokens
from tests.hooks.worlds import OPTIONS, marked, with_hook
from tests.train.tiny import Crash, CrashAt, parts, train


def observed(folder, name, *, prepare=lambda model: None, **values):
    """One update under an observer that looks at every step: the parts, and what it recorded without the hook's name."""
    made = parts(folder, **with_hook(name, **{"every": 1} | values))
    prepare(made.model)
    made.loop.update(*made.batches.batch(0))
    return made, {key.removeprefix(f"{name}."): value for key, value in made.loop.state.records.items()}


def squares(named, part):
    return sum(each.double().square().sum().item() for name, each in named.items() if part_of(name) == part)


def captured(model, inputs_BT, path):
    """What passes a site when these inputs do."""
    seen = []
    handle = model.get_submodule(path).on_forward(seen.append, in_evaluation=True)
    with torch.no_grad():
        model.eval()(inputs_BT)
    handle.remove()
    return seen[0]


def test_a_part_is_a_block_or_what_stands_beside_the_blocks():
    names = ("blocks.11.mlp.up.weight", "embedding.weight", "final_norm.weight")
    assert [part_of(name) for name in names] == ["blocks.11", "embedding", "final_norm"]


def test_gradient_norms_are_each_parts_and_add_up_to_the_whole(tmp_path):
    seen = {}
    made = parts(tmp_path, **with_hook("gradient_norms", every=1))
    named = dict(made.model.named_parameters())
    made.loop.state.optimizer.register_step_pre_hook(lambda *_: seen.update({name: each.grad.clone() for name, each in named.items()}))
    made.loop.update(*made.batches.batch(0))
    found = {key.removeprefix("gradient_norms."): value for key, value in made.loop.state.records.items()}
    assert list(found) == ["embedding", "position", "blocks.0", "blocks.1", "final_norm"]
    assert all(found[part] == pytest.approx(squares(seen, part) ** 0.5) for part in found)
    assert math.hypot(*found.values()) == pytest.approx(made.loop.state.gradient_norm)


def test_gradient_norms_are_those_before_clipping(tmp_path):
    _, plain = observed(tmp_path, "gradient_norms")
    made = parts(tmp_path, hooks=with_hook("gradient_norms", every=1)["hooks"] | {"grad_clip": OPTIONS["grad_clip"] | {"max_norm": 0.01}})
    made.loop.update(*made.batches.batch(0))
    assert list(made.loop.state.records.values()) == list(plain.values())


def test_update_ratios_are_the_way_that_weights_went_over_where_they_were(tmp_path):
    before = {}
    made, found = observed(
        tmp_path,
        "update_ratios",
        prepare=lambda model: before.update({name: each.detach().clone() for name, each in model.named_parameters()}),
    )
    moved = {name: each.detach() - before[name] for name, each in made.model.named_parameters()}
    assert list(found) == ["embedding", "position", "blocks.0", "blocks.1", "final_norm"]
    for part, ratio in found.items():
        assert ratio == pytest.approx((squares(moved, part) / squares(before, part)) ** 0.5, rel=1e-5) and ratio > 0


def test_activation_stats_are_those_of_the_weights_before_the_update(tmp_path):
    def kill(model):
        with torch.no_grad():
            model.blocks[1].mlp.up.weight[:5] = 0  # five units of 128 that are 0 whatever comes

    made, found = observed(tmp_path, "activation_stats", prepare=kill)
    plain = parts(tmp_path)
    kill(plain.model)
    for block, dead in ((0, 0), (1, 5)):
        x = captured(plain.model, made.loop.state.inputs_BT, f"blocks.{block}.mlp.hidden").double()
        path = f"blocks.{block}.mlp.hidden"
        assert found[f"{path}.rms"] == pytest.approx(x.square().mean().sqrt().item(), rel=1e-5)
        assert found[f"{path}.mean"] == pytest.approx(x.mean().item(), rel=1e-4)
        assert found[f"{path}.dead"] == pytest.approx(dead / 128)
    assert len(found) == 6


def test_activation_stats_looks_at_any_site(tmp_path):
    _, found = observed(tmp_path, "activation_stats", site="*stream")
    assert {key.rpartition(".")[0] for key in found} == {"blocks.0.stream", "blocks.1.stream"}


def test_attention_that_looks_everywhere_alike_has_the_entropy_of_the_uniform(tmp_path):
    def blind(model):
        with torch.no_grad():
            model.blocks[0].attention.query.weight.zero_()

    _, found = observed(tmp_path, "attention_entropy", prepare=blind)
    uniform = sum(math.log(t + 1) for t in range(16)) / 16
    assert found["blocks.0"] == pytest.approx(uniform) and found["blocks.0.lowest"] == pytest.approx(uniform)
    assert found["blocks.1.lowest"] < found["blocks.1"] < uniform


def test_attention_entropy_is_that_of_the_weights(tmp_path):
    def sharpen(model):
        with torch.no_grad():
            for block in model.blocks:
                block.attention.query.weight.mul_(100)

    made, found = observed(tmp_path, "attention_entropy", prepare=sharpen)
    plain = parts(tmp_path, device__attention="written")
    sharpen(plain.model)
    weights_BNTS = captured(plain.model, made.loop.state.inputs_BT, "blocks.1.attention.weights").double()
    entropy_N = -(weights_BNTS * weights_BNTS.clamp_min(1e-300).log()).sum(-1).mean((0, 2))
    assert found["blocks.1"] == pytest.approx(entropy_N.mean().item(), rel=1e-4)
    assert found["blocks.1.lowest"] == pytest.approx(entropy_N.min().item(), rel=1e-4)


def test_an_observer_looks_at_its_cadence_and_at_the_last_step(tmp_path):
    train(tmp_path / "run", **with_hook("gradient_norms", every=5))
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")[0]
    assert [row["step"] for row in rows if "gradient_norms.blocks.0" in row] == [5, 10, 12]


# -- texts


def test_samples_continue_the_prompt_from_a_stream_of_their_own(tmp_path):
    made = parts(tmp_path, **with_hook("samples", every=2, prompt="fox", tokens=20, temperature=0.7))
    for step in range(3):
        made.loop.update(*made.batches.batch(step))
        if step == 1:
            beginning = [0, *b"fox"]
            stream = streams.generator(streams.key(0, "hooks", "samples", 2))
            written = continue_tokens(made.model, beginning, count=20, context=16, temperature=0.7, generator=stream)
    ((heading, text),) = made.loop.state.texts
    assert heading == "samples, temperature 0.7" and text == "fox" + bytes(written).decode()


def test_samples_are_written_under_their_steps(tmp_path):
    train(tmp_path / "run", **with_hook("samples", every=5), trainer__sampling__tokens=0)
    heads = [line for line in (tmp_path / "run" / "samples.txt").read_text().splitlines() if line.startswith("=== ")]
    assert heads == [f"=== step {step}, samples, temperature 0.8 ===" for step in (5, 10, 12)]


def test_a_prompt_of_unknown_characters_is_refused_at_the_first_step(tmp_path):
    made = parts(tmp_path, **with_hook("samples", prompt="caf\u00e9"))
    with pytest.raises(ConfigError, match=r"hooks\.samples\.prompt='caf\u00e9' can't be told in this run's tokens: byte 3"):
        made.loop.update(*made.batches.batch(0))


# -- tensorboard


def test_tensorboard_without_its_package_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install -c constraints\.txt '\.\[tensorboard\]'"):
        parts(tmp_path, **with_hook("tensorboard"))


@pytest.mark.parametrize("name", marked(["tensorboard"]))
def test_tensorboard_shows_losses_and_what_others_recorded_once_after_a_crash(tmp_path, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    both = {"hooks": with_hook(name, every=2)["hooks"] | with_hook("update_ratios")["hooks"]}
    with pytest.raises(Crash):
        train(tmp_path / "run", progress=CrashAt(8), **both)
    train(tmp_path / "run", **both)
    shown = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    shown.Reload()
    rows = {row["step"]: row for row in read_rows(tmp_path / "run" / "metrics.jsonl")[0] if "loss" in row}
    losses = {event.step: event.value for event in shown.Scalars("train/loss")}
    assert [event.step for event in shown.Scalars("train/loss")] == [2, 4, 6, 8, 10, 12]
    assert losses == {step: pytest.approx(rows[step]["loss"]) for step in losses}
    curve = {event.step: event.value for event in shown.Scalars("evaluation/curve_bits_per_byte")}
    found = read_rows(tmp_path / "run" / "metrics.jsonl")[0]
    assert curve == {row["step"]: pytest.approx(row["curve_bits_per_byte"]) for row in found if "curve_bits_per_byte" in row}
    ratios = {event.step: event.value for event in shown.Scalars("update_ratios/blocks.0")}
    assert ratios == {step: pytest.approx(rows[step]["update_ratios.blocks.0"]) for step in (3, 6, 9, 12)}
