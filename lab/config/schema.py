"""Every setting of a run, with its type, default, unit, role and purpose. Pure data: reads no file, imports no torch.

The role decides what a difference from the pinned baseline means (DESIGN: the rule of one change):

    factor      counts as a change                  protocol   refused: not comparable
    cohort      never a change, runs compare inside  bits       never a change, a pair across is marked
    judgement   lives in the pin only               nuisance   ignored

A component or hook (a node with `_target_`) declares its own keys and types in its option file under conf/; all of them
are factors, so a new norm with a parameter of its own needs no edit here. The exceptions are the corpus (protocol) and
hooks that say `observes: true` (nuisance).

A field's default is used where an older saved configuration lacks the field. A field that is added after the first release
says `later=True`: while it stands at its default it's left out of every identity, so that old identities live on. For the
same reason a default never changes once it is released.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_type_hints

Role = Literal["factor", "protocol", "cohort", "bits", "judgement", "nuisance"]
ROLES: tuple[Role, ...] = ("factor", "protocol", "cohort", "bits", "judgement", "nuisance")


@dataclass(frozen=True)
class Leaf:
    """What the schema says of one leaf besides its type and default."""

    role: Role
    doc: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    later: bool = False


def leaf(default: Any, role: Role, doc: str, **rest: Any) -> Any:
    """A dataclass field that carries its Leaf."""
    metadata = {"leaf": Leaf(role, doc, **rest)}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def component(role: Role, doc: str) -> Any:
    """A node with `_target_`, whose keys its option file declares; all its leaves have one role."""
    return field(default_factory=dict, metadata={"component": Leaf(role, doc)})


@dataclass
class ModelConfig:
    """Model Architecture."""

    n_layers: int = leaf(4, "factor", "transformer blocks", low=1, high=1000)
    n_heads: int = leaf(4, "factor", "attention heads; divides d_model", low=1, high=1024)
    d_model: int = leaf(128, "factor", "width of the residual stream", low=1, high=65536)
    context: int = leaf(256, "factor", "positions that the model sees at once", unit="tokens", low=1, high=1 << 20)
    dropout: float = leaf(0.0, "factor", "share of activations set to zero at each dropout site while training", low=0, high=1)
    tie_embeddings: bool = leaf(True, "factor", "the output head is the embedding, transposed")
    init: dict[str, Any] = component("factor", "how the weights start")
    norm: dict[str, Any] = component("factor", "normalisation before each sub-block and before the head")
    mlp: dict[str, Any] = component("factor", "the position-wise sub-block")
    position: dict[str, Any] = component("factor", "how the model knows where a token stands")
    attention: dict[str, Any] = component("factor", "the sub-block that mixes positions")


@dataclass
class DataConfig:
    """Dataset."""

    path: str | None = leaf("", "nuisance", "file or folder of the text; its content counts, not its place")
    validation_fraction: float = leaf(0.1, "protocol", "share of the corpus's bytes in the validation range", low=0, high=0.5)
    test_fraction: float = leaf(0.05, "protocol", "share of the corpus's bytes that no run reads", low=0, high=0.5)
    corpus: dict[str, Any] = component("protocol", "where the text comes from")
    tokenizer: dict[str, Any] = component("factor", "text to tokens, without loss")


@dataclass
class EvaluationConfig:
    """Evaluation."""

    metric: str = leaf(
        "bits_per_byte", "protocol", "what the verdict judges, on the validation range", choices=("bits_per_byte", "nats_per_token")
    )
    block: int = leaf(256, "protocol", "length of the blocks that the validation text is read in", unit="tokens", low=1)
    bytes: int | None = leaf(None, "protocol", "head of the validation range in the final evaluation; null: all of it", unit="bytes", low=1)
    curve_bytes: int = leaf(8192, "protocol", "head of the validation range in the curve's evaluations", unit="bytes", low=1)
    every: int = leaf(100, "nuisance", "steps between two points of the curve", unit="steps", low=1)


@dataclass
class SamplingConfig:
    """Sampling."""

    every: int | None = leaf(None, "nuisance", "steps between two sample texts; null: only at the end", unit="steps", low=1)
    tokens: int = leaf(200, "nuisance", "length of a sample; 0: no samples", unit="tokens", low=0)
    temperature: float = leaf(0.8, "nuisance", "of the second sample; the first is greedy", low=0.01, high=100)


@dataclass
class CheckpointConfig:
    """Checkpointing."""

    every: int = leaf(250, "nuisance", "steps between two checkpoints; the last two are kept", unit="steps", low=1)


@dataclass
class DecayConfig:
    """Which parameter groups the optimizer's weight decay pulls on."""

    matrices: bool = leaf(True, "factor", "the matrices inside the blocks", later=True)
    embeddings: bool = leaf(True, "factor", "the token and position tables, and an untied head", later=True)
    vectors: bool = leaf(False, "factor", "norms' weights and everything else that isn't a matrix", later=True)


@dataclass
class RateConfig:
    """Each parameter group's learning rate, as a share of the optimizer's."""

    matrices: float = leaf(1.0, "factor", "of the matrices inside the blocks", low=0, high=1000, later=True)
    embeddings: float = leaf(1.0, "factor", "of the tables and an untied head", low=0, high=1000, later=True)
    vectors: float = leaf(1.0, "factor", "of norms' weights and everything else that isn't a matrix", low=0, high=1000, later=True)


@dataclass
class TrainerConfig:
    """Training."""

    tokens: int = leaf(2_048_000, "protocol", "the budget: training tokens seen", unit="tokens", low=1)
    batch_size: int = leaf(8, "factor", "sequences of `model.context` tokens in a step", unit="sequences", low=1)
    precision: str = leaf("fp32", "factor", "of the forward and backward pass; weights stay fp32", choices=("fp32", "bf16"))
    divergence_ceiling: float = leaf(20.0, "protocol", "a training loss above this ends the run as diverged", unit="nats per token", low=0)
    optimizer: dict[str, Any] = component("factor", "how gradients move weights")
    schedule: dict[str, Any] = component("factor", "the learning rate's share at each step of the budget")
    decay: DecayConfig = field(default_factory=DecayConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log_every: int = leaf(10, "nuisance", "steps between two rows of metrics", unit="steps", low=1)


@dataclass
class DeviceConfig:
    """Device."""

    kind: str = leaf("cpu", "cohort", "what computes; auto: the best that is there", choices=("auto", "cpu", "cuda", "mps"))
    threads: int = leaf(2, "bits", "CPU threads of one run", low=1, high=1024)
    workers: int | None = leaf(None, "nuisance", "runs of a sweep at once; null: as many as fit", low=1, high=1024, later=True)
    attention: str = leaf(
        "fused", "bits", "torch's fused attention, or written out; auto: the faster one here", choices=("auto", "fused", "written")
    )
    compile: bool = leaf(False, "bits", "let torch compile the model", later=True)
    micro_batch: int | None = leaf(None, "bits", "sequences per backward pass; null: the whole batch", unit="sequences", low=1)
    fused_optimizer: bool = leaf(True, "bits", "the optimizer's one-kernel update, where it has one")
    deterministic: bool = leaf(True, "bits", "refuse operations whose result may vary between runs")


@dataclass
class JudgementConfig:
    """Judgement: what the report may conclude. Lives in the pin, never in a run's identity."""

    direction: str = leaf("lower", "judgement", "which way the metric is better", choices=("lower", "higher"))
    alpha: float = leaf(0.05, "judgement", "chance of a false claim in a study", low=0.0001, high=0.5)
    smallest_effect: Any = leaf("auto", "judgement", "D: below this a difference doesn't matter; a number, or auto", unit="the metric's")
    looks: list[int] = leaf([5, 8, 12, 20], "judgement", "numbers of seeds at which a verdict may be given", unit="seeds")
    seeds: list[int] = leaf(list(range(20)), "judgement", "the seeds, in the order in which they are used")


@dataclass
class TrainingConfig:
    """The root."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    hooks: dict[str, Any] = component("factor", "what runs inside the loop, by name")
    device: DeviceConfig = field(default_factory=DeviceConfig)
    judgement: JudgementConfig = field(default_factory=JudgementConfig)
    seed: int = leaf(0, "nuisance", "the unit of replication; drives every random stream", low=0, high=2**31 - 1)
    study: str = leaf("screening", "nuisance", "the arms declared together; a sweep's plan names its own")
    note: str = leaf("", "nuisance", "why this run was asked for")
    why: str = leaf("", "nuisance", "what a named intervention or a baseline expects")
    explore: bool = leaf(False, "nuisance", "train whatever is given; several changes then never enter a verdict")
    trusted_modules: list[str] = leaf([], "nuisance", "modules beside lab whose parts `_target_` may name; only in conf/config.yaml")


# Keys that a component's option file gained after it was first released, by `_target_`: the value that means "as before".
# While a key stands at it, identities leave it out, and a pin that lacks it is no drift.
LATER_KEYS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "lab.hooks.nudge.Nudge": {"draw": 0},
        "lab.model.attention.mha.MultiHeadAttention": {"qk_norm": False, "qk_norm_eps": 1e-6, "logit_cap": None},
    }
)


@cache
def kinds(schema: Any) -> dict[str, Any]:
    """The type of each field, which Python works out anew from its text whenever it is asked."""
    return get_type_hints(schema)


@cache  # type hints are slow to resolve, and a composition asks for each of its leaves
def leaves(schema: type = TrainingConfig, prefix: str = "") -> Mapping[str, Leaf]:
    """Every leaf of the schema by its path; a component stands as one entry, at its node's path."""
    found: dict[str, Leaf] = {}
    types = kinds(schema)
    for each in fields(schema):
        path = prefix + each.name
        if is_dataclass(types[each.name]):
            found |= leaves(types[each.name], path + ".")
        else:
            found[path] = each.metadata.get("leaf") or each.metadata["component"]
    return MappingProxyType(found)


@cache
def components(schema: type = TrainingConfig, prefix: str = "") -> Mapping[str, Leaf]:
    """The nodes that an option file fills, by path (`model.norm`, ..., and `hooks`, whose children are such nodes)."""
    found: dict[str, Leaf] = {}
    types = kinds(schema)
    for each in fields(schema):
        path = prefix + each.name
        if is_dataclass(types[each.name]):
            found |= components(types[each.name], path + ".")
        elif "component" in each.metadata:
            found[path] = each.metadata["component"]
    return MappingProxyType(found)
