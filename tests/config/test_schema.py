"""Every setting has a role, a purpose and one default, and conf/ spells each of them out with a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from lab.config.check import flatten_with_empty
from lab.config.compose import Composer
from lab.config.identity import schema_defaults
from lab.config.options import read_yaml
from lab.config.ranges import RANGE, check_range
from lab.config.schema import ROLES, Leaf, TrainingConfig, components, leaves
from tests.conftest import CHECKOUT

# path, role, default. A component (a node that an option file fills) has no default of its own.
COMPONENT = "(component)"
TABLE: list[tuple[str, str, Any]] = [
    ("data.corpus", "protocol", COMPONENT),
    ("data.path", "nuisance", ""),
    ("data.test_fraction", "protocol", 0.05),
    ("data.tokenizer", "factor", COMPONENT),
    ("data.validation_fraction", "protocol", 0.1),
    ("device.attention", "bits", "fused"),
    ("device.compile", "bits", False),
    ("device.deterministic", "bits", True),
    ("device.fused_optimizer", "bits", True),
    ("device.kind", "cohort", "cpu"),
    ("device.micro_batch", "bits", None),
    ("device.threads", "bits", 2),
    ("explore", "nuisance", False),
    ("hooks", "factor", COMPONENT),
    ("judgement.alpha", "judgement", 0.05),
    ("judgement.direction", "judgement", "lower"),
    ("judgement.looks", "judgement", [5, 8, 12, 20]),
    ("judgement.seeds", "judgement", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
    ("judgement.smallest_effect", "judgement", "auto"),
    ("model.attention", "factor", COMPONENT),
    ("model.context", "factor", 256),
    ("model.d_model", "factor", 128),
    ("model.dropout", "factor", 0.0),
    ("model.init", "factor", COMPONENT),
    ("model.mlp", "factor", COMPONENT),
    ("model.n_heads", "factor", 4),
    ("model.n_layers", "factor", 4),
    ("model.norm", "factor", COMPONENT),
    ("model.position", "factor", COMPONENT),
    ("model.tie_embeddings", "factor", True),
    ("note", "nuisance", ""),
    ("seed", "nuisance", 0),
    ("study", "nuisance", "screening"),
    ("trainer.batch_size", "factor", 8),
    ("trainer.checkpoint.every", "nuisance", 250),
    ("trainer.decay.embeddings", "factor", True),
    ("trainer.decay.matrices", "factor", True),
    ("trainer.decay.vectors", "factor", False),
    ("trainer.divergence_ceiling", "protocol", 20.0),
    ("trainer.evaluation.block", "protocol", 256),
    ("trainer.evaluation.bytes", "protocol", None),
    ("trainer.evaluation.curve_bytes", "protocol", 8192),
    ("trainer.evaluation.every", "nuisance", 100),
    ("trainer.evaluation.metric", "protocol", "bits_per_byte"),
    ("trainer.log_every", "nuisance", 10),
    ("trainer.optimizer", "factor", COMPONENT),
    ("trainer.precision", "factor", "fp32"),
    ("trainer.rate.embeddings", "factor", 1.0),
    ("trainer.rate.matrices", "factor", 1.0),
    ("trainer.rate.vectors", "factor", 1.0),
    ("trainer.sampling.every", "nuisance", None),
    ("trainer.sampling.temperature", "nuisance", 0.8),
    ("trainer.sampling.tokens", "nuisance", 200),
    ("trainer.schedule", "factor", COMPONENT),
    ("trainer.tokens", "protocol", 2_048_000),
    ("trusted_modules", "nuisance", []),
    ("why", "nuisance", ""),
]


def found_table() -> dict[str, tuple[str, Any]]:
    defaults = schema_defaults()
    return {path: (each.role, defaults.get(path, COMPONENT)) for path, each in leaves().items()}


@pytest.mark.parametrize(("path", "role", "default"), TABLE, ids=[path for path, *_ in TABLE])
def test_no_released_role_or_default_changes_by_accident(path: str, role: str, default: Any) -> None:
    assert path in found_table(), (
        f"{path} has left the schema: saved configurations that hold it no longer load, and the identities of all runs change"
    )
    now_role, now_default = found_table()[path]
    assert now_role == role, (
        f"{path} is now {now_role}, it was {role}: what counts as a change, the cohorts and the identities of stored runs change with it. "
        f"If that is meant, say so in the CHANGELOG and change this table"
    )
    assert (now_default, type(now_default)) == (default, type(default)), (
        f"{path} now defaults to {now_default!r}, it was {default!r}: an older configuration without this key would load as another run, "
        f"and old locks would be filled with another value. Add a new field with `later=True` instead"
    )


def test_a_setting_that_is_new_says_so() -> None:
    known = {path for path, *_ in TABLE}
    new = {path: each for path, each in leaves().items() if path not in known}
    silent = [path for path, each in new.items() if not each.later and path not in components()]
    assert not silent, (
        f"{', '.join(silent)}: new in the schema, and every identity changes with it. Before the first release add its row to this table; "
        f"after it, give the leaf `later=True` (then it is left out of identities while it stands at its default) and a row"
    )


@pytest.mark.parametrize(("path", "leaf"), list(leaves().items()), ids=list(leaves()))
def test_every_setting_has_a_role_a_purpose_and_sound_bounds(path: str, leaf: Leaf) -> None:
    assert leaf.role in ROLES
    assert len(leaf.doc.split()) >= 2, "say what it is for"
    assert not leaf.doc.endswith("."), "a purpose stands in the middle of a message"
    default = schema_defaults().get(path)
    if leaf.choices:
        assert default in leaf.choices
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        assert leaf.low is None or default >= leaf.low
        assert leaf.high is None or default <= leaf.high
        assert leaf.low is not None or leaf.high is not None, "a number has bounds"


def typed_leaves(schema: type = TrainingConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, kind in get_type_hints(schema).items():
        if hasattr(kind, "__dataclass_fields__"):
            yield from typed_leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, kind


def test_every_default_is_of_the_declared_type() -> None:
    kinds = dict(typed_leaves())
    for path, default in schema_defaults().items():
        kind = getattr(kinds[path], "__origin__", kinds[path])
        assert kind is Any or isinstance(default, kind), f"{path}: {default!r} isn't {kind}"


def test_defaults_are_fresh_objects() -> None:
    one, two = TrainingConfig(), TrainingConfig()
    one.judgement.seeds.append(99)
    one.hooks["mine"] = {}
    assert 99 not in two.judgement.seeds and two.hooks == {}
    assert 99 not in TrainingConfig().judgement.seeds


def test_a_node_with_a_target_is_a_component_and_each_component_is_a_leaf_by_name() -> None:
    assert components().items() <= leaves().items()
    assert set(components()) == {path for path, _, default in TABLE if default == COMPONENT}


# -- conf/


def options(*groups: str) -> list[tuple[str, str]]:
    return [(group, path.stem) for group in groups for path in sorted((CHECKOUT / "conf" / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "option"), options("model", "data", "trainer", "device"))
def test_an_option_spells_out_every_setting_of_its_node(group: str, option: str) -> None:
    raw = Composer(CHECKOUT).untyped((f"{group}={option}",))
    present = flatten_with_empty(raw)
    hidden = [path for path in leaves() if not any(each == path or each.startswith(path + ".") for each in present)]
    assert not hidden, f"conf/ doesn't say {', '.join(hidden)}: what shapes a run stands in conf/, not only in the schema"


FILES = sorted(path for path in (CHECKOUT / "conf").rglob("*.yaml") if "hydra" not in path.parts)


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(CHECKOUT).as_posix() for path in FILES])
def test_every_value_in_conf_says_what_it_is_for(path: Path) -> None:
    silent = list(values_without_a_comment(path))
    assert not silent, f"{path.relative_to(CHECKOUT)}: no comment (purpose, unit, range) at {'; '.join(silent)}"


def values_without_a_comment(path: Path) -> Iterator[str]:
    """Lines that give a value, with no comment at their end or in the lines just above.

    A list of defaults, `_target_` and `_range_` need none: the file's head speaks of them, or they are said by name. Nor do
    Hydra's own settings, which shape no run, the values of a named intervention, whose `why:` speaks of all of them together,
    and those of a baseline, which `lab pin` writes: the options that it overrides say what they are for.
    """
    if path.parent.name == "change" and path.stem != "none":
        assert yaml.safe_load(path.read_text())["why"].strip(), "a named intervention says why"
    if path.parent.name in ("change", "baseline"):
        return
    commented = False
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if line == "hydra:":
            return
        if line.lstrip().startswith("#"):
            commented = True
        elif not line.strip():
            commented = False
        elif key.strip() == "_range_":
            commented = True
        elif re.match(r"\s*[\w.]+$", key) and value.strip() and key.strip() != "_target_" and "#" not in value and not commented:
            yield line.strip()


def nodes_with_a_target(tree: Any) -> Iterator[dict[str, Any]]:
    """Every component that an option file spells out, at any depth."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        for each in tree.values():
            yield from nodes_with_a_target(each)


COMPONENT_FILES = [path for path in FILES if any(nodes_with_a_target(yaml.safe_load(path.read_text())))]


@pytest.mark.parametrize("path", COMPONENT_FILES, ids=[path.relative_to(CHECKOUT).as_posix() for path in COMPONENT_FILES])
def test_every_number_of_a_component_has_limits_that_its_default_keeps(path: Path) -> None:
    for here in nodes_with_a_target(read_yaml(path)):
        ranges, values = here.get(RANGE, {}), {key: value for key, value in here.items() if key not in (RANGE, "_target_", "observes")}
        assert set(ranges) <= set(values), "a range without its key"
        for key, value in values.items():
            numeric = any(
                isinstance(each, (int, float)) and not isinstance(each, bool) for each in (value if isinstance(value, list) else [value])
            )
            assert not numeric or key in ranges, f"{key}: say what is accepted in {RANGE}"
            check_range(key, value, ranges.get(key))


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(CHECKOUT).as_posix() for path in FILES])
def test_a_conf_file_opens_with_what_it_is(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line != "# @package _global_"]
    assert re.match(r"# \w.{5,}", lines[0]), "say in the first line where its values come from, what it costs, what it should reach"
