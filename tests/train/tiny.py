"""A tiny world: a configuration with every key, a text of a few kilobytes, and one call that trains on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lab.build import Parts
from lab.data.corpora import Document
from lab.data.prepare import PreparedData, prepare
from lab.data.tokenizers.ascii import Ascii
from lab.experiment import assemble, run
from lab.train.outcome import Outcome
from lab.train.progress import Silent

IDENTITY = "a" * 64
BATCH, CONTEXT, STEPS = 4, 16, 12

TINY: dict[str, Any] = {
    "seed": 0,
    "trusted_modules": ["tests"],
    "model": {
        "n_layers": 2,
        "n_heads": 2,
        "d_model": 32,
        "context": CONTEXT,
        "dropout": 0.0,
        "tie_embeddings": True,
        "init": {"_target_": "lab.model.init.gpt2.GPT2Init", "std": 0.02},
        "norm": {"_target_": "lab.model.norm.layernorm.LayerNorm", "eps": 1e-5},
        "mlp": {"_target_": "lab.model.mlp.gelu.GELU", "expansion": 4.0},
        "position": {"_target_": "lab.model.position.learned.LearnedPosition"},
        "attention": {"_target_": "lab.model.attention.mha.MultiHeadAttention", "qk_norm": False, "qk_norm_eps": 1e-6, "logit_cap": None},
    },
    "data": {"tokenizer": {"_target_": "lab.data.tokenizers.ascii.Ascii"}},
    "trainer": {
        "tokens": BATCH * CONTEXT * STEPS,
        "batch_size": BATCH,
        "precision": "fp32",
        "divergence_ceiling": 20.0,
        "log_every": 2,
        "decay": {"matrices": True, "embeddings": True, "vectors": False},
        "rate": {"matrices": 1.0, "embeddings": 1.0, "vectors": 1.0},
        "optimizer": {
            "_target_": "lab.train.optimizer.adamw.adamw",
            "lr": 1e-2,
            "betas": [0.9, 0.99],
            "eps": 1e-8,
            "weight_decay": 0.1,
        },
        "schedule": {"_target_": "lab.train.schedule.cosine.Cosine", "warmup": 0.1, "final": 0.1},
        "evaluation": {"metric": "bits_per_byte", "block": CONTEXT, "bytes": None, "curve_bytes": 100, "every": 4},
        "sampling": {"every": 5, "tokens": 6, "temperature": 0.8},
        "checkpoint": {"every": 3},
    },
    "hooks": {},
    "device": {
        "kind": "cpu",
        "threads": 1,
        "attention": "fused",
        "compile": False,
        "micro_batch": None,
        "fused_optimizer": True,
        "deterministic": True,
    },
}

HOOKS = {
    "grad_clip": {"_target_": "lab.hooks.grad_clip.GradClip", "max_norm": 0.3},
    "z_loss": {"_target_": "lab.hooks.z_loss.ZLoss", "weight": 1e-2},
    "counter": {"_target_": "tests.train.tiny.Counter"},
}


class Counter:
    """A hook with a memory: its loss grows with the steps that it has seen, so that a resume without it would show."""

    observes = False

    def __init__(self) -> None:
        self.seen = torch.zeros(1)

    def loss(self, state: Any, outputs: Any) -> torch.Tensor:
        return 1e-3 * self.seen[0] * outputs.logits_BTV.square().mean()

    def after_step(self, state: Any) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.seen = saved["seen"]


def tiny(**changes: Any) -> dict[str, Any]:
    """The tiny configuration with leaves changed: `tiny(model__dropout=0.1)`."""
    config = copy.deepcopy(TINY)
    for path, value in changes.items():
        *nodes, leaf = path.split("__")
        node = config
        for name in nodes:
            node = node[name]
        node[leaf] = value
    return config


def text(folder: Path) -> PreparedData:
    """A repetitive text in two documents, prepared."""
    line = "the quick brown fox jumps over the lazy dog; pack my box with five dozen jugs.\n"
    documents = [Document("one.txt", line.encode() * 30), Document("two.txt", line.upper().encode() * 30)]
    return prepare(documents, 0.1, 0.05, None, 100, Ascii(), folder)


def parts(folder: Path, **changes: Any) -> Parts:
    """The parts of a tiny run, on a prepared device."""
    return assemble(tiny(**changes), text(folder / "cache"))


def train(folder: Path, *, stop: Callable[[], bool] = lambda: False, progress: Any = None, **changes: Any) -> Outcome:
    """A tiny run in `folder`."""
    data = text(folder.parent / "cache")
    config = tiny(**changes)
    return run(config, data, assemble(config, data), folder, IDENTITY, progress or Silent(), stop)


def after(calls: int) -> Callable[[], bool]:
    """A `stop` that says yes from its `calls`-th call on."""
    asked = iter(range(calls - 1))
    return lambda: next(asked, None) is None


class Crash(Exception):
    """What a test's power cut raises."""


class CrashAt(Silent):
    """Cuts a run off in the middle of a step, as a kill would: nothing is saved."""

    def __init__(self, step: int) -> None:
        self.at = step
        self.warnings: list[str] = []

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None:
        if step == self.at:
            raise Crash

    def warning(self, text: str) -> None:
        self.warnings.append(text)
