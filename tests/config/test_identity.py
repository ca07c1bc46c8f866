"""What makes a run the run that it is: each thing changes just the hashes that it should."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from lab.config import identity
from lab.config.compose import Composition
from lab.config.identity import arm_id, as_before, cohort_id, of_role, role_of, run_identity, schema_defaults, with_later_keys
from lab.config.schema import LATER_KEYS, ROLES, TrainingConfig, leaf, leaves
from tests.conftest import copy_of_the_project

# DESIGN 3, written out. A * stands for the keys of a component.
ROLE_OF = {
    "factor": """model.n_layers model.n_heads model.d_model model.context model.dropout model.tie_embeddings
        model.init.* model.norm.* model.mlp.* model.position.* model.attention.* data.tokenizer.*
        trainer.batch_size trainer.precision trainer.optimizer.* trainer.schedule.* trainer.decay.* trainer.rate.* hooks.*""",
    "protocol": """data.validation_fraction data.test_fraction data.corpus.* trainer.tokens trainer.divergence_ceiling
        trainer.evaluation.metric trainer.evaluation.block trainer.evaluation.bytes trainer.evaluation.curve_bytes""",
    "cohort": "device.kind",
    "bits": "device.threads device.attention device.compile device.micro_batch device.fused_optimizer device.deterministic",
    "judgement": "judgement.direction judgement.alpha judgement.smallest_effect judgement.looks judgement.seeds",
    "nuisance": """data.path trainer.evaluation.every trainer.log_every trainer.checkpoint.every trainer.sampling.every
        trainer.sampling.tokens trainer.sampling.temperature device.workers seed study note why explore trusted_modules""",
}


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Composition]:
    composer = copy_of_the_project(tmp_path_factory.mktemp("identity") / "project").composer()
    return lambda *overrides: composer.compose(overrides)


@pytest.fixture(scope="module")
def shipped(compose: Callable[..., Composition]) -> dict[str, Any]:
    return compose("hooks=[grad_clip,z_loss]").resolved


# -- roles


@pytest.mark.parametrize("overrides", [(), ("hooks=[grad_clip,z_loss]",), ("model=small", "data=text", "data.path=x", "model/mlp=swiglu")])
def test_every_leaf_of_a_composition_has_the_role_that_the_design_gives_it(
    compose: Callable[..., Composition], overrides: tuple[str, ...]
) -> None:
    composition = compose(*overrides)
    found = {path: role_of(path, composition.hooks) for path in composition.leaves}
    fitting = {path: [role for role, names in ROLE_OF.items() if any(fnmatchcase(path, name) for name in names.split())] for path in found}
    assert {path: [role] for path, role in found.items()} == fitting


def test_the_roles_share_out_the_leaves_of_a_composition(shipped: dict[str, Any]) -> None:
    shared: list[str] = [path for role in ROLES for path in of_role(role, shipped)]
    assert sorted(shared) == sorted(path for path, value in identity.flatten(shipped).items() if not as_before(path, value, shipped))


def test_a_hook_that_only_observes_is_a_nuisance_and_a_hook_that_says_otherwise_is_none(shipped: dict[str, Any]) -> None:
    watching = copy.deepcopy(shipped)
    watching["hooks"]["watch"] = {"_target_": "lab.hooks.watch.Watch", "observes": True, "every": 5}
    assert of_role("factor", watching) == of_role("factor", shipped)
    assert "hooks.watch.every" in of_role("nuisance", watching)
    for claim in (False, "true", 1, None):
        watching["hooks"]["watch"]["observes"] = claim
        assert "hooks.watch.every" in of_role("factor", watching)


def test_a_leaf_that_the_schema_lacks_has_no_role() -> None:
    with pytest.raises(KeyError):
        role_of("model.typo", {})


# -- what changes which hash


@dataclass(frozen=True)
class Run:
    """Everything that the three hashes are made of, as the runner puts it together."""

    resolved: dict[str, Any]
    code: dict[str, str] = field(default_factory=lambda: {"lab.experiment": "e" * 64, "lab.model.gpt": "f" * 64})
    tokens: str = "t" * 64
    text: str = "x" * 64
    torch: str = "2.13.0+cpu"
    cpu: str = "a processor"
    machine: str = "x86_64"

    @property
    def arm(self) -> str:
        return arm_id(of_role("factor", self.resolved), of_role("protocol", self.resolved), self.code, self.tokens)

    @property
    def identity(self) -> str:
        bits = {"torch": {"version": self.torch}, "cpu": self.cpu, "leaves": of_role("bits", self.resolved)}
        return run_identity(self.arm, self.resolved["seed"], bits)

    @property
    def cohort(self) -> str:
        return cohort_id(
            {
                "device": self.resolved["device"]["kind"],
                "device_class": self.machine,
                "torch": ".".join(self.torch.split(".")[:2]),
                "text": self.text,
                "protocol": of_role("protocol", self.resolved),
            }
        )

    def told(self, path: str, value: Any) -> Run:
        """This run with one leaf set to another value."""
        resolved = copy.deepcopy(self.resolved)
        *nodes, key = path.split(".")
        here = resolved
        for each in nodes:
            here = here[each]
        assert key in here and here[key] != value, f"{path}: not another value"
        here[key] = value
        return replace(self, resolved=resolved)


def told(path: str, value: Any) -> tuple[str, Callable[[Run], Run]]:
    return path, lambda run: run.told(path, value)


def given(name: str, value: Any) -> tuple[str, Callable[[Run], Run]]:
    return name, lambda run: replace(run, **{name: value})


NOTHING, IDENTITY, ARM, COHORT, BOTH = "", "identity", "identity arm", "identity cohort", "identity arm cohort"
EDITED = {"lab.experiment": "e" * 64, "lab.model.gpt": "0" * 64}
LONGER = {"lab.experiment": "e" * 64, "lab.model.gpt": "f" * 64, "lab.model.norm.rmsnorm": "a" * 64}
CASES = [
    (told("seed", 1), IDENTITY),
    (told("device.threads", 3), IDENTITY),
    (told("device.attention", "written"), IDENTITY),
    (told("device.micro_batch", 2), IDENTITY),
    (told("device.fused_optimizer", False), IDENTITY),
    (told("device.deterministic", False), IDENTITY),
    (told("device.compile", True), IDENTITY),
    (given("cpu", "another processor"), IDENTITY),
    (given("torch", "2.13.1+cpu"), IDENTITY),
    (given("torch", "2.14.0+cpu"), COHORT),
    (told("model.d_model", 256), ARM),
    (told("model.norm.eps", 1e-6), ARM),
    (told("trainer.optimizer.lr", 2e-3), ARM),
    (told("trainer.optimizer.betas", [0.9, 0.95]), ARM),
    (told("trainer.precision", "bf16"), ARM),
    (told("hooks.grad_clip.max_norm", 0.5), ARM),
    (told("data.tokenizer._target_", "lab.data.tokenizers.bytes.Bytes"), ARM),
    (given("code", EDITED), ARM),
    (given("code", LONGER), ARM),
    (given("tokens", "0" * 64), ARM),
    (told("trainer.tokens", 4096), BOTH),
    (told("trainer.evaluation.bytes", 1000), BOTH),
    (told("data.validation_fraction", 0.3), BOTH),
    (told("data.test_fraction", 0.3), BOTH),
    (given("text", "0" * 64), "cohort"),  # the text's tokens change with it: that is the arm's part
    (given("machine", "aarch64"), "cohort"),
    (told("note", "just because"), NOTHING),
    (told("why", "just because"), NOTHING),
    (told("study", "my-study"), NOTHING),
    (told("explore", True), NOTHING),
    (told("data.path", "/somewhere/else"), NOTHING),
    (told("trusted_modules", ["mine"]), NOTHING),
    (told("trainer.log_every", 1), NOTHING),
    (told("trainer.checkpoint.every", 7), NOTHING),
    (told("trainer.evaluation.every", 7), NOTHING),
    (told("trainer.sampling.tokens", 0), NOTHING),
    (told("trainer.sampling.every", 3), NOTHING),
    (told("trainer.sampling.temperature", 1.5), NOTHING),
    (told("judgement.alpha", 0.01), NOTHING),
    (told("judgement.seeds", [7, 8, 9]), NOTHING),
]


@pytest.mark.parametrize(("change", "moves"), CASES, ids=[f"{name}-{moves or 'nothing'}" for (name, _), moves in CASES])
def test_a_difference_moves_the_hashes_that_it_should(
    shipped: dict[str, Any], change: tuple[str, Callable[[Run], Run]], moves: str
) -> None:
    before = Run(shipped)
    after = change[1](before)
    moved = [name for name in ("identity", "arm", "cohort") if getattr(before, name) != getattr(after, name)]
    assert sorted(moved) == sorted(moves.split())


def test_every_role_is_tried_above() -> None:
    tried = {leaves()[name].role for (name, _), _ in CASES if name in leaves()}
    assert set(ROLES) - tried == {"cohort"}, "there is one device kind"


def test_another_hook_or_one_fewer_is_another_arm(compose: Callable[..., Composition]) -> None:
    arms = {Run(compose(f"hooks={hooks}").resolved).arm for hooks in ("none", "grad_clip", "z_loss", "[grad_clip,z_loss]")}
    assert len(arms) == 4
    assert Run(compose("hooks=[grad_clip,z_loss]").resolved).arm == Run(compose("hooks=[z_loss,grad_clip]").resolved).arm


def test_the_same_setting_spelt_otherwise_is_the_same_run(compose: Callable[..., Composition]) -> None:
    plain = Run(compose().resolved)
    for overrides in (
        ("trainer.optimizer.lr=0.001",),
        ("trainer.optimizer.lr=1e-3",),
        ("model.dropout=0",),
        ("trainer.tokens=2_048_000",),
        ("model=nano",),
        ("seed=0", "device.threads=2"),
    ):
        told = Run(compose(*overrides).resolved)
        assert (told.identity, told.cohort) == (plain.identity, plain.cohort), overrides


def test_hashes_do_not_hang_on_the_order_of_keys(shipped: dict[str, Any]) -> None:
    def turned(tree: Any) -> Any:
        return {key: turned(tree[key]) for key in reversed(tree)} if isinstance(tree, dict) else tree

    one, two = Run(shipped), Run(turned(shipped), code=dict(reversed(Run(shipped).code.items())))
    assert list(two.resolved) != list(one.resolved)
    assert (one.identity, one.cohort) == (two.identity, two.cohort)


def test_the_recipe_of_the_hashes_is_pinned() -> None:
    arm = arm_id({"model.d_model": 128}, {"trainer.tokens": 1000}, {"lab.experiment": "e"}, "t")
    parts = {"device": "cpu", "device_class": "x86_64", "torch": "2.13", "text": "x", "protocol": {"trainer.tokens": 1000}}
    found = (arm[:12], run_identity(arm, 3, {"torch": "2.13.0"})[:12], cohort_id(parts)[:12])
    assert found == ("ffa94b17510c", "560ad2788979", "6f9aabfbff2e"), (
        "the recipe of an identity changed: no stored run is found again, each is trained anew, and arms that were one fall apart"
    )


@pytest.mark.parametrize("parts", ["device", "device_class", "torch", "text", "protocol", "code"])
def test_a_cohort_needs_exactly_its_parts(parts: str) -> None:
    whole: dict[str, Any] = {"device": "cpu", "device_class": "x86_64", "torch": "2.13", "text": "x", "protocol": {}}
    wrong = {name: value for name, value in whole.items() if name != parts} if parts in whole else whole | {parts: {}}
    cohort_id(whole)
    with pytest.raises(AssertionError):
        cohort_id(wrong)


# -- fields that are added later


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema of tomorrow: `patience`, a factor, and `spares`, of role bits, were added after the first release."""
    tomorrow = make_dataclass(
        "Tomorrow",
        [
            ("patience", float, leaf(0.5, "factor", "a field of tomorrow", low=0, later=True)),
            ("spares", list[int], leaf([1, 2], "bits", "another field of tomorrow", later=True)),
        ],
        bases=(TrainingConfig,),
    )
    defaults = schema_defaults(tomorrow)
    monkeypatch.setattr(identity, "leaves", lambda: leaves(tomorrow))
    monkeypatch.setattr(identity, "schema_defaults", lambda: defaults)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    ("path", "default", "other", "moves"), [("patience", 0.5, 0.25, ["arm", "identity"]), ("spares", [1, 2], [1], ["identity"])]
)
def test_a_later_field_counts_only_once_it_leaves_its_default(
    shipped: dict[str, Any], path: str, default: Any, other: Any, moves: list[str]
) -> None:
    before, still, differs = (Run(shipped | more) for more in ({}, {path: default}, {path: other}))
    assert (still.arm, still.identity) == (before.arm, before.identity)
    assert [name for name in ("arm", "identity") if getattr(differs, name) != getattr(before, name)] == moves


@pytest.mark.usefixtures("later")
def test_an_older_field_counts_at_its_default_too(shipped: dict[str, Any]) -> None:
    assert "model.dropout" in of_role("factor", shipped)


def test_the_schema_s_defaults_know_every_leaf_but_the_components() -> None:
    assert set(schema_defaults()) == {path for path in leaves() if path not in identity.components()}
    assert schema_defaults()["model.d_model"] == TrainingConfig().model.d_model
    assert schema_defaults()["judgement.looks"] == TrainingConfig().judgement.looks


# -- keys that a component's option file gains later


MHA = "lab.model.attention.mha.MultiHeadAttention"


def test_a_key_that_a_component_gains_counts_only_once_it_leaves_the_value_that_means_as_before(
    compose: Callable[..., Composition],
) -> None:
    before = {"hooks": {}, "model": {"attention": {"_target_": MHA}}}
    now = compose().resolved["model"]["attention"]
    assert now["_target_"] == MHA and now["qk_norm"] is False, "the shipped default is what was before"
    for path, value in ((None, None), ("qk_norm", True), ("logit_cap", 30.0)):
        changed = {"hooks": {}, "model": {"attention": now | ({path: value} if path else {})}}
        expected = {f"model.attention.{path}": value} if path else {}
        assert of_role("factor", changed) == of_role("factor", before) | expected
    same_key_elsewhere = {"hooks": {}, "model": {"attention": {"_target_": "mine.Attention", "qk_norm": False}}}
    assert "model.attention.qk_norm" in of_role("factor", same_key_elsewhere)


def test_a_pin_from_before_a_components_key_is_filled_with_what_means_the_same() -> None:
    pinned = {"model": {"attention": {"_target_": MHA}, "norm": {"_target_": "mine.Norm", "eps": 1e-5}}, "seed": 0}
    filled = with_later_keys(pinned)
    assert filled["model"]["attention"] == {"_target_": MHA, **LATER_KEYS[MHA]}
    assert filled["model"]["norm"] == pinned["model"]["norm"] and filled["seed"] == 0
    assert with_later_keys({"attention": {"_target_": MHA, "qk_norm": True}})["attention"]["qk_norm"] is True
