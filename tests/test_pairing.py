"""What a run shares with its baseline is told from the values themselves, and what it doesn't share is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lab.data.corpora import Document
from lab.data.prepare import PreparedData, prepare
from lab.data.tokenizers.bytes import Bytes
from lab.experiment import assemble
from lab.model.dropout import KeyedDropout
from lab.pairing import first_model, initial, kinship, pairing, pairing_with_run
from tests.cases import Cases
from tests.model.tiny import option
from tests.train.tiny import BATCH, CONTEXT, STEPS, text, tiny, train

SHARED = "pairs of models whose shared draws are told"
NEW_LAYER = [f"blocks.2.{name}.weight" for name in ("norm1", *(f"attention.{each}" for each in ("query", "key", "value", "output")))]
NEW_LAYER += [f"blocks.2.{name}.weight" for name in ("norm2", "mlp.up", "mlp.down")]
OUTPUTS = [f"blocks.{i}.{name}.weight" for i in (0, 1) for name in ("attention.output", "mlp.down")]
NORMS = ["blocks.0.norm1.weight", "blocks.0.norm2.weight", "blocks.1.norm1.weight", "blocks.1.norm2.weight", "final_norm.weight"]
KEYS = [f"blocks.{i}.attention.{name}.weight" for i in (0, 1) for name in ("key", "value")]
MLPS = [f"blocks.{i}.mlp.{name}.weight" for i in (0, 1) for name in ("up", "down")]
ALL = list(dict(first_model(tiny(), 128).named_parameters()))
MATRICES = [name for name in ALL if name not in NORMS]
GQA = {"_target_": "lab.model.attention.gqa.GroupedQueryAttention", "kv_heads": 1, "qk_norm": False, "qk_norm_eps": 1e-6, "logit_cap": None}


def paired(folder: Path, arm: dict[str, Any], baseline: dict[str, Any] | None = None) -> dict[str, Any]:
    """The certificate of a tiny run with these leaves changed, against one with those."""
    config, data = tiny(**arm), text(folder)
    return pairing(config, tiny(**(baseline or {})), assemble(config, data), data, data)


def in_bytes(folder: Path) -> PreparedData:
    """The text of every tiny world in another tokenizer's tokens."""
    line = "the quick brown fox jumps over the lazy dog; pack my box with five dozen jugs.\n"
    documents = [Document("one.txt", line.encode() * 30), Document("two.txt", line.upper().encode() * 30)]
    return prepare(documents, 0.1, 0.05, None, 100, Bytes(), folder)


def told(initial: dict[str, Any], **expected: list[str]) -> bool:
    """Whether the names are those, in any order, and every other tensor is bit-equal."""
    names = {kind: sorted(expected.get(kind, [])) for kind in ("same_draws", "other", "only_here", "only_baseline")}
    found = {kind: sorted(initial[kind]) for kind in names}
    here = sum(len(names[kind]) for kind in ("same_draws", "other", "only_here"))
    return found == names and initial["equal"] == initial["of"] - here


PAIRS: list[tuple[str, dict[str, Any], dict[str, list[str]]]] = [
    ("nothing changed", {}, {}),
    ("another learning rate", {"trainer__optimizer__lr": 1e-3}, {}),
    ("a hook more", {"hooks": {"clip": {"_target_": "lab.hooks.grad_clip.GradClip", "max_norm": 0.3}}}, {}),
    ("more heads", {"model__n_heads": 4}, {}),
    ("dropout", {"model__dropout": 0.1}, {}),
    ("a written attention", {"device__attention": "written"}, {}),
    *((f"width {width}", {"model__d_model": width}, {"same_draws": ALL}) for width in (16, 20, 40, 48, 64)),
    ("a third layer", {"model__n_layers": 3}, {"same_draws": OUTPUTS, "only_here": NEW_LAYER}),
    ("one layer", {"model__n_layers": 1}, {"same_draws": OUTPUTS[:2], "only_baseline": [name for name in ALL if "blocks.1" in name]}),
    (
        "wider and deeper",
        {"model__n_layers": 3, "model__d_model": 48},
        {"same_draws": ALL, "only_here": NEW_LAYER},
    ),
    ("a wider mlp", {"model__mlp__expansion": 6.0}, {"same_draws": MLPS}),
    ("a longer context", {"model__context": 32}, {"same_draws": ["position.weight"]}),
    ("another scale", {"model__init__std": 0.05}, {"same_draws": MATRICES}),
    ("one size for all", {"model__init": option("init", "normal", std=0.02)}, {"same_draws": OUTPUTS}),
    ("mup", {"model__init": option("init", "mup", gain=2.0, table_std=0.03)}, {"same_draws": MATRICES}),
    ("zeros hold no draws", {"model__init": option("init", "zero_output", std=0.02)}, {"other": OUTPUTS}),
    ("rmsnorm", {"model__norm": option("norm", "rmsnorm")}, {}),
    ("no norm", {"model__norm": option("norm", "none")}, {"only_baseline": NORMS}),
    ("a head of its own", {"model__tie_embeddings": False}, {"only_here": ["head.weight"]}),
    ("rope", {"model__position": option("position", "rope")}, {"only_baseline": ["position.weight"]}),
    ("one head of keys", {"model__attention": GQA}, {"same_draws": KEYS}),
    ("the fused path beside a cap", {"model__attention": {**GQA, "logit_cap": 5.0}, "device__attention": "written"}, {"same_draws": KEYS}),
]


def test_shared_draws_are_told_whatever_the_change_of_the_model(tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    count = cases(SHARED)
    data = text(tmp_path)
    other_way = {"only_here": "only_baseline", "only_baseline": "only_here"}
    for name, changes, expected in PAIRS:
        config = tiny(**changes)
        found = pairing(config, tiny(), assemble(config, data), data, data)["initial"]
        count.check(f"{name}: {found}", told(found, **expected))
        found = initial(first_model(tiny(), 128), first_model(config, 128))
        count.check(f"{name}, the other way round: {found}", told(found, **{other_way.get(kind, kind): v for kind, v in expected.items()}))
    count.all_good(at_least=2 * len(PAIRS))


def test_one_generator_for_all_weights_would_share_nothing_with_a_wider_model(cases: Callable[[str], Cases]) -> None:
    def drawn_in_turn(**changes: Any) -> nn.Module:
        model = first_model(tiny(**changes), 128)
        stream = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.02, generator=stream)
        return model

    count = cases(SHARED)
    for name, changes, _ in PAIRS:
        if {"model__d_model", "model__n_layers", "model__context", "model__mlp__expansion"} & changes.keys():
            count.check(name, initial(drawn_in_turn(**changes), drawn_in_turn())["other"] == [])
    count.some_bad(at_least=5)


@pytest.mark.parametrize(("arm", "baseline"), [(1, 0), (0, 1)])
def test_another_seed_shares_no_matrix_no_batch_and_no_mask(tmp_path: Path, arm: int, baseline: int) -> None:
    found = paired(tmp_path, {"seed": arm, "model__dropout": 0.1}, {"seed": baseline, "model__dropout": 0.1})
    assert told(found["initial"], other=MATRICES)
    assert found["data"] == {"unit": "batches", "of": STEPS, "same": 0}
    assert found["dropout"] == {"of": 5, "keyed": 5, "shared": 0}


def test_a_run_of_the_baseline_shares_everything_at_any_seed(tmp_path: Path) -> None:
    same = {"seed": 7, "model__dropout": 0.1}
    found = paired(tmp_path, same, same)
    assert found["initial"] == {"of": len(ALL), "equal": len(ALL), "same_draws": [], "other": [], "only_here": [], "only_baseline": []}
    assert found["data"] == {"unit": "batches", "of": STEPS, "same": STEPS}
    assert found["dropout"] == {"of": 5, "keyed": 5, "shared": 5}


class Attached:
    """A hook that moves one entry of one first weight by its last bit, when it is attached."""

    observes = False

    def attach(self, model: nn.Module, optimizer: Any) -> None:
        with torch.no_grad():
            weight = model.blocks[1].mlp.up.weight
            weight[3, 5] += self.by(weight[3, 5])

    def by(self, entry: torch.Tensor) -> torch.Tensor:
        return torch.nextafter(entry, torch.tensor(torch.inf)) - entry

    def after_step(self, state: Any) -> None: ...


class Moved(Attached):
    """The same, by more than rounding."""

    def by(self, entry: torch.Tensor) -> torch.Tensor:
        return torch.tensor(0.001)


@pytest.mark.parametrize(("hook", "kind"), [("Attached", "same_draws"), ("Moved", "other")])
def test_a_weight_that_a_hook_moved_before_the_first_step_is_named(tmp_path: Path, hook: str, kind: str) -> None:
    found = paired(tmp_path, {"hooks": {"mover": {"_target_": f"tests.test_pairing.{hook}"}}})["initial"]
    assert found["equal"] == len(ALL) - 1
    assert found[kind] == ["blocks.1.mlp.up.weight"]


def test_to_look_changes_nothing_of_the_run(tmp_path: Path) -> None:
    data, config = text(tmp_path), tiny(model__dropout=0.1)
    looked, left = assemble(config, data), assemble(config, data)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    pairing(config, tiny(), looked, data, data)
    assert torch.equal(torch.get_rng_state(), before)
    for step in range(3):
        for parts in (looked, left):
            assert parts.loop.update(*parts.batches.batch(step)) is None
        assert looked.loop.state.loss == left.loop.state.loss
    assert initial(looked.model, left.model)["equal"] == len(ALL)


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ([1.0, 2.0], [1.0, 2.0], "equal"),
        ([0.0, 2.0], [-0.0, 2.0], "same_draws"),
        ([1.0, 2.0], [3.0, 6.0], "same_draws"),
        ([1.0, 2.0, 7.0], [3.0, 6.0], "same_draws"),
        ([1e-30, 2e-30], [1e30, 2e30], "same_draws"),
        ([1.0, 2.0], [1.0, 2.001], "other"),
        ([1.0, 2.0], [2.0, 1.0], "other"),
        ([1e-30, 2e-30], [2.0, 1.0], "other"),
        ([1.0, 2.0], [0.0, 0.0], "other"),
        ([0.0, 0.0], [1.0, 2.0], "other"),
        ([0.0, 0.0, 1.0], [0.0, 0.0], "same_draws"),
        ([1.0], [1.0, 5.0], "same_draws"),
        ([1.0], [2.0, 5.0], "other"),  # any two numbers are multiples of each other
        ([1.0, 2.0], [[1.0, 2.0]], "other"),
        ([1.0, float("nan")], [1.0, 2.0], "other"),
        ([1.0, float("nan")], [1.0, float("nan")], "equal"),
    ],
)
def test_two_tensors_are_equal_of_the_same_draws_or_other(a: list[Any], b: list[Any], kind: str) -> None:
    assert kinship(torch.tensor(a), torch.tensor(b)) == kind


# -- training data


@pytest.mark.parametrize(
    ("arm", "baseline", "expected"),
    [
        ({}, {}, ("batches", STEPS, STEPS)),
        ({"model__d_model": 48, "model__n_layers": 3}, {}, ("batches", STEPS, STEPS)),
        ({"device__micro_batch": 1}, {}, ("batches", STEPS, STEPS)),
        ({"trainer__batch_size": 2 * BATCH}, {}, ("windows", BATCH * STEPS, BATCH * STEPS)),
        ({"trainer__batch_size": 5}, {}, ("windows", 45, 45)),
        ({}, {"trainer__batch_size": 5}, ("windows", 48, 45)),  # 45 of the 48 stand in the baseline's 9 batches of 5
        ({"model__context": 2 * CONTEXT}, {}, ("batches", STEPS // 2, 0)),
        ({}, {"model__context": 2 * CONTEXT}, ("batches", STEPS, 0)),
        ({}, {"model__context": 4096}, ("batches", STEPS, 0)),  # longer than this text has windows for
        ({"model__context": 32, "trainer__batch_size": 2}, {}, ("windows", 24, 0)),
        ({"seed": 1}, {}, ("batches", STEPS, 0)),
    ],
    ids=lambda value: "-".join(f"{key.split('__')[-1]}={each}" for key, each in value.items()) if isinstance(value, dict) else None,
)
def test_the_same_training_data_is_counted(
    tmp_path: Path, arm: dict[str, Any], baseline: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    unit, of, same = expected
    assert paired(tmp_path, arm, baseline)["data"] == {"unit": unit, "of": of, "same": same}


def test_another_tokenizer_has_no_batch_in_common_and_the_rows_of_the_embedding_that_both_have(tmp_path: Path) -> None:
    config, mine, theirs = tiny(), in_bytes(tmp_path / "bytes"), text(tmp_path / "ascii")
    found = pairing(config, tiny(), assemble(config, mine), mine, theirs)
    assert found["data"] == {"unit": "batches", "of": STEPS, "same": 0}
    assert told(found["initial"], same_draws=["embedding.weight"])


def test_batches_that_are_said_to_be_the_same_hold_the_same_tokens(tmp_path: Path) -> None:
    data = text(tmp_path)
    mine, theirs = (assemble(tiny(**changes), data) for changes in ({"trainer__batch_size": 2 * BATCH}, {}))
    assert paired(tmp_path, {"trainer__batch_size": 2 * BATCH})["data"]["same"] == BATCH * STEPS
    seen = [[parts.batches.batch(step) for step in range(parts.loop.state.steps)] for parts in (mine, theirs)]
    for kind in (0, 1):
        assert torch.equal(*(torch.cat([batch[kind] for batch in batches]) for batches in seen))


def test_one_window_that_moved_costs_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.pairing.STRETCH", 3 * BATCH + 1)  # so that the stretches' borders are crossed
    config, data = tiny(), text(tmp_path)
    parts = assemble(config, data)
    order = parts.batches.offsets(0, BATCH * STEPS).copy()
    order[[0, 5]] = order[[5, 0]]
    order[-1] += 1
    parts.batches.offsets = lambda first, count: order[first : first + count]  # type: ignore[method-assign]
    assert pairing(config, tiny(), parts, data, data)["data"] == {"unit": "batches", "of": STEPS, "same": STEPS - 3}
    assert np.unique(order).size > BATCH  # else the windows that changed places could be one


# -- dropout


def sites(layers: int) -> int:
    return 1 + 2 * layers


@pytest.mark.parametrize(
    ("arm", "baseline", "keyed", "shared"),
    [
        ({}, {}, 0, 0),
        ({"model__dropout": 0.1}, {}, sites(2), 0),
        ({}, {"model__dropout": 0.1}, 0, 0),
        ({"model__dropout": 0.2}, {"model__dropout": 0.1}, sites(2), sites(2)),
        ({"model__dropout": 0.1, "model__n_layers": 3}, {"model__dropout": 0.1}, sites(3), sites(2)),
    ],
)
def test_dropout_is_shared_where_both_drop(tmp_path: Path, arm: dict[str, Any], baseline: dict[str, Any], keyed: int, shared: int) -> None:
    assert paired(tmp_path, arm, baseline)["dropout"] == {"of": keyed, "keyed": keyed, "shared": shared}


class NormThatDrops(nn.Module):
    """A user's component with torch's own dropout inside, which no key reaches."""

    def __init__(self, width: int, *, share: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(share)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(x)


@pytest.mark.parametrize(("share", "unkeyed"), [(0.5, len(NORMS)), (0.0, 0)])
def test_a_component_with_dropout_of_its_own_is_counted_as_drawn_without_a_key(tmp_path: Path, share: float, unkeyed: int) -> None:
    norm = {"_target_": "tests.test_pairing.NormThatDrops", "share": share}
    found = paired(tmp_path, {"model__norm": norm, "model__dropout": 0.1}, {"model__dropout": 0.1})["dropout"]
    assert found == {"of": sites(2) + unkeyed, "keyed": sites(2), "shared": sites(2)}


def test_sites_that_are_said_to_be_shared_draw_the_same_masks(tmp_path: Path) -> None:
    data = text(tmp_path)
    wide, baseline = (assemble(tiny(model__dropout=0.5, model__n_layers=layers), data) for layers in (3, 2))
    masks: list[dict[str, torch.Tensor]] = []
    for parts in (wide, baseline):
        parts.loop.dropout.begin(7, 0)
        ones = torch.ones(BATCH, CONTEXT, 32)
        masks.append({each.path: each(ones) for each in parts.model.modules() if isinstance(each, KeyedDropout)})
    common = masks[0].keys() & masks[1].keys()
    assert len(common) == sites(2)
    assert all(torch.equal(masks[0][path], masks[1][path]) for path in common)


def test_edited_code_is_held_against_what_a_run_under_the_old_code_left(tmp_path: Path) -> None:
    train(tmp_path / "run", model__dropout=0.1)
    config, data = tiny(model__dropout=0.1), text(tmp_path / "cache")
    same = pairing_with_run(assemble(config, data), tmp_path / "run")
    assert same == pairing(config, config, assemble(config, data), data, data)
    apart = pairing_with_run(assemble(config | {"seed": 1}, data), tmp_path / "run")
    assert told(apart["initial"], other=MATRICES)
    assert apart["data"] == {"unit": "batches", "of": STEPS, "same": 0} and apart["dropout"]["shared"] == 0 < apart["dropout"]["keyed"]
