"""Every option that conf/model offers: it builds, trains, and sees no later token, on both paths of attention."""

from __future__ import annotations

import re
import shutil
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import yaml

from lab.build import factory
from lab.model.block import Components
from lab.model.count import parameters
from lab.model.dropout import DropoutKeys, KeyedDropout
from lab.model.gpt import GPT
from tests.conftest import CHECKOUT
from tests.model.tiny import FILES, TRUSTED, model, option, tokens_BT

INGREDIENTS = [
    (group.removeprefix("model/"), name) for group, names in FILES.groups.items() if group.startswith("model/") for name in names
]
MODELS = FILES.groups["model"]


def path_of(node: dict) -> str:
    return "written" if node.get("logit_cap") is not None else "fused"


CASES = [{group: option(group, name)} for group, name in INGREDIENTS] + [
    {"attention": option("attention", "gqa", kv_heads=1)},
    {"attention": option("attention", "mha", qk_norm=True)},
    {"attention": option("attention", "mha", qk_norm=True), "position": option("position", "rope")},
    {"attention": option("attention", "gqa", kv_heads=1, qk_norm=True, logit_cap=0.5), "position": option("position", "rope")},
    {"attention": option("attention", "mha", logit_cap=0.1)},
    {"mlp": option("mlp", "relu2"), "init": option("init", "mup"), "tie_embeddings": False},
]


def named(changes: dict) -> str:
    """`GroupedQueryAttention kv_heads=1`, for a test's name."""
    words: list[str] = []
    for key, value in changes.items():
        node = value if isinstance(value, dict) else {key: value}
        words += [each.rpartition(".")[2] if name == "_target_" else f"{name}={each}" for name, each in node.items()]
    return " ".join(words)


def test_the_options_are_found():
    assert {group for group, _ in INGREDIENTS} == {"attention", "init", "mlp", "norm", "position"}
    assert len(INGREDIENTS) >= 15 and {"nano", "small", "large", "gpt2"} <= set(MODELS)


@pytest.mark.parametrize("changes", CASES, ids=named)
def test_it_builds_and_each_parameter_gets_a_finite_gradient(changes):
    each = model(path_of(changes.get("attention", {})), **changes)
    logits_BTV = each(tokens_BT())
    F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT().roll(-1, 1).flatten()).backward()
    for name, parameter in each.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("changes", CASES, ids=named)
@pytest.mark.parametrize("path", ["fused", "written"])
def test_a_later_token_changes_no_earlier_logit(changes, path):
    if path == "fused" and path_of(changes.get("attention", {})) == "written":
        path = "written"
    each, changed_BT = model(path, **changes), tokens_BT()
    changed_BT[:, 10:] = 7
    before, after = each(tokens_BT()), each(changed_BT)
    assert torch.allclose(before[:, :10], after[:, :10], atol=1e-6)
    if "ZeroOutput" not in named(changes):  # its blocks do nothing yet
        assert not torch.allclose(before[:, 10:], after[:, 10:], atol=1e-3)


@pytest.mark.parametrize("changes", CASES, ids=named)
def test_a_short_sequence_gets_the_logits_of_the_beginning_of_a_long_one(changes):
    each = model(path_of(changes.get("attention", {})), **changes)
    assert torch.allclose(each(tokens_BT()[:, :5]), each(tokens_BT())[:, :5], atol=1e-6)


@pytest.mark.parametrize("changes", CASES, ids=named)
def test_bf16_stays_near_fp32_and_warns_of_nothing(changes, recwarn):
    each = model("written", **changes)
    with torch.autocast("cpu", torch.bfloat16):
        rough = each(tokens_BT())
    assert (rough.float() - each(tokens_BT())).abs().max() < 0.02 * max(1, each(tokens_BT()).abs().max())
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize("changes", CASES, ids=named)
def test_it_draws_nothing_from_the_global_generator(changes):
    before = torch.get_rng_state()
    model(path_of(changes.get("attention", {})), **changes)(tokens_BT())
    assert torch.equal(before, torch.get_rng_state())


TRUST = re.compile(r"^trusted_modules:.*(\n *- .*)*", re.MULTILINE)
PRIVATE = """
from lab.model.norm.rmsnorm import RMSNorm


class OfATest(RMSNorm): ...
"""


def test_an_option_of_a_module_that_the_user_trusts_is_tried_too(project):
    """As docs/your-own-norm.md has it: these very tests, in a project with a norm of its own beside the package."""
    ours = project.root / "tests"
    shutil.copytree(CHECKOUT / "tests" / "model", ours / "model", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "cases.py", "conftest.py", "figures.py", "forked.py", "train/__init__.py", "train/tiny.py"):
        (ours / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / "tests" / name, ours / name)
    (project.root / "private").mkdir()
    (project.root / "private" / "__init__.py").touch()
    (project.root / "private" / "norm_of_a_test.py").write_text(PRIVATE)
    rmsnorm = (project.root / "conf/model/norm/rmsnorm.yaml").read_text()
    (project.root / "conf/model/norm/of_a_test.yaml").write_text(
        rmsnorm.replace("lab.model.norm.rmsnorm.RMSNorm", "private.norm_of_a_test.OfATest")
    )
    config = project.root / "conf/config.yaml"
    config.write_text(TRUST.sub("trusted_modules: [private]", config.read_text()))
    done = project.python("-m", "pytest", "-q", "-k", "OfATest", "tests/model/test_options.py", PYTHONPATH=str(CHECKOUT))
    assert "6 passed" in done.stdout


@pytest.mark.parametrize("name", MODELS)
def test_a_models_header_says_its_parameters(name):
    """Built without memory: the largest would need half a gigabyte."""
    text = (FILES.conf / "model" / f"{name}.yaml").read_text()
    said = float(text.split(" million")[-2].split()[-1])
    values = FILES.values_of("model", name)
    chosen = {group: choice for entry in yaml.safe_load(text)["defaults"] if entry != "_self_" for group, choice in entry.items()}
    made = {group: factory(option(group, choice), TRUSTED) for group, choice in chosen.items() if group != "init"}
    made |= {"attention": partial(made["attention"], path="fused"), "dropout": partial(KeyedDropout, share=0.0, keys=DropoutKeys(0))}
    with torch.device("meta"):
        each = GPT(
            vocabulary=128,
            context=values["context"],
            width=values["d_model"],
            layers=values["n_layers"],
            heads=values["n_heads"],
            tied=values["tie_embeddings"],
            components=Components(**made),
        )
    assert abs(parameters(each)["total"] / 1e6 - said) <= 0.05, f"conf/model/{name}.yaml says {said} million"
