"""Stores made up to be timed: run directories as the training wing writes them, of its sizes, with numbers drawn at random.

Of a run's files only those are made that a report reads. Nothing is synced: nobody keeps them. Trains nothing, imports no torch.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.ablate.codemap import COUNTED, LAB
from lab.ablate.lock import lock_hash, lock_path, option_digest, option_path
from lab.canonical import SEAL, canonical_json, json_text, sealed
from lab.files import sha256_file
from lab.request import Identified

STEPS, TOKENS_PER_STEP = 1000, 2048
MODULES = 55  # in the code map of a nano model
SPREAD = {"seed": 0.009, "pair": 0.003, "arm": 0.01}  # standard deviations, bits per byte: docs/log.md
COLUMNS = ("tokens", "loss", "lr", "gradient_norm", "curve_bits_per_byte", "curve_nats_per_token", "ema.distance", "z_loss")
BODIES = 20  # of row files: each stands in many runs, which costs a reader what others would


@dataclass(frozen=True)
class Shape:
    """How many of each there are; an arm is the baseline, or one change of it."""

    baselines: int
    arms: int
    seeds: int

    @property
    def runs(self) -> int:
        return self.baselines * self.arms * self.seeds


def shape_of(runs: int) -> Shape:
    """About so many runs, never more: of five baselines, with twenty seeds an arm, where there are enough."""
    baselines = 5 if runs >= 1000 else 1
    seeds = min(20, max(1, runs // (2 * baselines)))
    return Shape(baselines, max(1, runs // (baselines * seeds)), seeds)


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Member:
    """One member of a sealed file: its key, its text there, its canonical text. What many runs have in common is made once."""

    key: str
    text: str
    canonical: str


def member(key: str, value: Any) -> Member:
    return Member(key, json_text({key: value})[2:-3], canonical_json({key: value})[1:-1])


def sealed_text(members: list[Member]) -> str:
    """What `write_json` writes of the sealed object with these members."""
    canonical = ",".join(each.canonical for each in sorted(members, key=lambda each: each.key))
    seal = hashlib.sha256(f"{{{canonical}}}".encode()).hexdigest()
    return "{\n" + ",\n".join([*(each.text for each in members), f' "{SEAL}": "{seal}"']) + "\n}\n"


def make_store(root: Path, shape: Shape) -> list[str]:
    """Pins and finished runs of this shape under a project's root. Returns the baselines' names."""
    draw, number = random.Random(0), 0
    names = [f"made{index}" for index in range(shape.baselines)]
    for name in names:
        lock = make_pin(root, name, shape.seeds)
        levels = [draw.gauss(2.1, SPREAD["seed"]) for _ in range(shape.seeds)]
        for arm in range(shape.arms):
            shift = draw.gauss(0.0, SPREAD["arm"]) if arm else 0.0
            values = [level + shift + (draw.gauss(0.0, SPREAD["pair"]) if arm else 0.0) for level in levels]
            make_arm(root, name, lock, arm, values, number)
            number += len(values)
    return names


def make_pin(root: Path, name: str, seeds: int) -> str:
    """A baseline's option file and lock. Returns the lock's hash."""
    looks = [look for look in (5, 8, 12, 20) if look <= seeds] or [seeds]
    judgement = {"direction": "lower", "alpha": 0.05, "smallest_effect": "auto", "looks": looks, "seeds": list(range(seeds))}
    option, path = option_path(root, name), lock_path(root, name)
    option.parent.mkdir(parents=True, exist_ok=True)
    option.write_text("# @package _global_\n# made up, to be timed\n")
    composition = {"judgement": judgement, "trainer": {"evaluation": {"metric": "bits_per_byte"}}}
    parts: dict[str, Any] = {"file_digest": option_digest(option), "choices": {}, "overrides": [name], "composition": composition}
    lock = lock_hash(name, **parts)
    path.write_text(json_text({"schema": 1, "name": name, "sha256": lock} | parts))
    return lock


def make_arm(root: Path, name: str, lock: str, arm: int, values: list[float], number: int) -> None:
    """The runs of one arm, with a request each; `number` is that of the last request before them."""
    label = f"trainer.optimizer.lr={arm / 1000}" if arm else "baseline"
    arm_id = digest(name, arm)
    shared = {key: member(key, value) for key, value in arm_parts(name, arm, label, arm_id).items()}
    for seed, value in enumerate(values):
        identity = digest(arm_id, seed)
        folder = root / "runs" / name / f"{label}-{arm_id[:6]}" / f"seed={seed}-{identity[:12]}"
        folder.mkdir(parents=True)
        own = {"identity": member("identity", identity), "seed": member("seed", seed)}
        (folder / "manifest.json").write_text(sealed_text([(own.get(key) or each) for key, each in shared.items()]))
        (folder / "result.json").write_text(json_text(sealed(result(identity, value))))
        (folder / "documents.json").write_text(json_text(sealed(documents(value))))
        (folder / "requests.jsonl").write_text(canonical_json(request(name, lock, label, arm, number + seed + 1)) + "\n")


def arm_parts(name: str, arm: int, label: str, arm_id: str) -> dict[str, Any]:
    """What the manifests of an arm's runs hold, in their order; `identity` and `seed` are each run's own."""
    modules = [path.relative_to(LAB.parent).with_suffix("").as_posix().replace("/", ".") for path in sorted(LAB.rglob("*.py"))]
    counted = [module for module in modules if module.partition(".")[2].partition(".")[0] in COUNTED][:MODULES]
    factors: dict[str, Any] = {f"model.part{index // 4}.factor{index % 4}": f"lab.model.part{index}" for index in range(20)}
    factors |= {"model.d_model": 128, "model.norm.eps": 1e-05, "trainer.optimizer.lr": arm / 1000, "trainer.optimizer.betas": [0.9, 0.99]}
    protocol = {f"trainer.evaluation.part{index}": index for index in range(8)} | {"trainer.tokens": STEPS * TOKENS_PER_STEP}
    parts = {"device": "cpu", "device_class": "x86_64", "torch": "2.13", "text": digest("text"), "protocol": protocol}
    leaves = {"device.threads": 2} | {f"device.part{index}": index for index in range(4)}
    torch = {"version": "2.13.0", "commit": digest("torch")[:40], "cuda": None}
    bits = {"torch": torch, "cpu": "a processor", "isa": [f"avx512_{index}" for index in range(22)], "variables": {}}
    initial: dict[str, Any] = {"of": 35, "equal": 35, "same_draws": [], "other": [], "only_here": [], "only_baseline": []}
    pairing = {"initial": initial, "data": {"unit": "batches", "of": STEPS, "same": STEPS}, "dropout": {"of": 9, "keyed": 9, "shared": 9}}
    about = {"schema": 1, "identity": "", "arm_id": arm_id, "change_id": digest("change", name, arm), "cohort": digest(parts), "seed": 0}
    about |= {"baseline": name, "label": label, "factors": factors, "protocol": protocol}
    about |= {"code": {module: digest(module) for module in counted}, "tokens": digest("tokens"), "bits": bits | {"leaves": leaves}}
    about |= {"cohort_parts": parts, "split": {"train_end": 10462906, "validation_end": 10680936, "total": 10898853}, "steps": STEPS}
    about |= {"tokens_per_step": TOKENS_PER_STEP, "bytes_per_token": 0.9999339615239387, "command": f"python run.py {label}", "git": None}
    packages = dict.fromkeys(("hydra-core", "numpy", "omegaconf", "pandas", "rich", "safetensors", "scipy", "torch"), "1.2.3")
    return about | {"host": "made", "python": "3.11.7", "packages": packages, "pairing": pairing if arm else None}


def result(identity: str, value: float) -> dict[str, Any]:
    curves = {"half_curve_bits_per_byte": value + 0.3, "final_curve_bits_per_byte": value + 0.05, "train_loss": value * 0.7}
    metrics = {"validation_bits_per_byte": value, "validation_nats_per_token": value * 0.693, "validation_perplexity": 2.0**value}
    cost = {"seconds": 60 * value, "training_seconds": 50 * value, "tokens_per_second": 1e5 / value, "seconds_per_step": value / 10}
    cost |= {"peak_memory_bytes": 507142144, "flops_per_token": 5606400.0}
    split = dict.fromkeys(("data", "forward", "backward", "optimizer", "hooks", "rest"), value / 12.7)
    named = ("weights", "optimizer", "metrics.jsonl", "samples.txt", "weights.jsonl", "draws.json", "documents.json", "manifest.json")
    files = (
        "config.yaml",
        "overrides.yaml",
        *(f"checkpoint/step-{step:08}.{end}" for step in (980, STEPS) for end in ("json", "safetensors")),
    )
    digests = {file: digest(identity, file) for file in (*named, *files)}
    digests["documents.json"] = hashlib.sha256(json_text(sealed(documents(value))).encode()).hexdigest()
    about = {"schema": 1, "identity": identity, "status": "finished", "step": STEPS, "steps": STEPS, "tokens": STEPS * TOKENS_PER_STEP}
    about |= {"metrics": metrics | curves, "parameters": {"total": 836736, "embedding": 49152}, "cost": cost, "split": split, "prices": {}}
    return about | {"digests": digests, "diverged": None}


def documents(value: float) -> dict[str, Any]:
    sizes = [1000 * (index + 1) for index in range(12)]
    return {"schema": 1, "bytes": sizes, "nats": [size * value * 0.693 * (1 + index / 100) for index, size in enumerate(sizes)]}


def request(name: str, lock: str, label: str, arm: int, number: int) -> dict[str, Any]:
    move = {"path": "trainer.optimizer.lr", "old": 0.001, "new": arm / 1000}
    change = {"kind": "leaf", **move, "source": "command line", "moves": [move], "typed": [label]}
    about = {"number": number, "at": "2001-01-01T00:00:00+00:00", "baseline": name, "lock": lock, "label": label}
    about |= {"changes": [change] if arm else [], "held": [], "study": f"{name}-rates", "exploring": False}
    return about | {"command": f"python run.py {label}", "note": "", "why": ""}


def make_rows(root: Path, runs: int, rows: int) -> None:
    """Rows beside the manifests of so many runs of a made store, of `rows` lines with a step and eight numbers each."""
    draw = random.Random(0)
    bodies = []
    for _ in range(min(BODIES, runs)):
        lines = [{"step": step} | {name: draw.random() * 7 for name in COLUMNS} for step in range(rows)]
        bodies.append("".join(canonical_json(line) + "\n" for line in lines))
    for index, manifest in enumerate(sorted((root / "runs").glob("*/*/*/manifest.json"))[:runs]):
        manifest.with_name("metrics.jsonl").write_text(bodies[index % len(bodies)])


def make_finished(identified: Identified, number: int) -> None:
    """A finished run of an identified job, with its request: found by a sweep, verified by its digests, and read by a report."""
    job, folder = identified.job, identified.folder
    value = 2.1 + random.Random(identified.identity).gauss(0.0, SPREAD["pair"])
    initial: dict[str, Any] = {"of": 35, "equal": 35, "same_draws": [], "other": [], "only_here": [], "only_baseline": []}
    pairing = {"initial": initial, "data": {"unit": "batches", "of": STEPS, "same": STEPS}, "dropout": {"of": 0, "keyed": 0, "shared": 0}}
    about = {"git": None, "host": "made", "python": "3.11.7", "packages": {}, "pairing": pairing if job.changes else None}
    folder.path.mkdir(parents=True)
    folder.config.write_text(OmegaConf.to_yaml(OmegaConf.create(job.config)))
    folder.overrides.write_text(OmegaConf.to_yaml(OmegaConf.create(job.overrides)))
    folder.manifest.write_text(json_text(sealed(identified.manifest | about)))
    (folder.path / "documents.json").write_text(json_text(sealed(documents(value))))
    digests = {path.name: sha256_file(path) for path in sorted(folder.path.iterdir())}
    digests |= {name: digest(identified.identity, name) for name in ("weights", "optimizer")}
    folder.result.write_text(json_text(sealed(result(identified.identity, value) | {"digests": digests})))
    folder.requests.write_text(canonical_json({"number": number, "at": "2001-01-01T00:00:00+00:00"} | job.request) + "\n")
