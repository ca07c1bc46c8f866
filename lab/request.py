"""A request that the rule allows, frozen as a job; and a job with its data prepared and its identity known. Trains nothing.

Nothing here imports torch: what a run is can be told, and found, without it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.ablate.codemap import CodeMaps, reached
from lab.ablate.refusal import require_cell, require_one_change
from lab.ablate.rule import Tally
from lab.config.check import check_attention
from lab.config.compose import Composer
from lab.config.diff import say
from lab.config.identity import arm_id, by_role, change_id, cohort_id, of_role, run_identity
from lab.data.corpora import Corpus
from lab.data.prepare import PreparedData, prepare, require_length
from lab.errors import ConfigError, LabError
from lab.files import sha256_of
from lab.store.abilities import settle_device, told_of_device
from lab.store.declaration import FACTORIAL
from lab.store.layout import RunFolder, cache, run_folder
from lab.store.machine import bits_of_machine, cohort_parts
from lab.store.manifest import SCHEMA


@dataclass(frozen=True)
class Job:
    """Everything that makes one run, frozen: no later edit of conf/ reaches it. Plain data, so that it can be a file."""

    root: str
    baseline: str
    lock: str
    label: str
    changes: list[dict[str, Any]]
    exploring: bool
    study: str
    command: str
    overrides: list[str]
    held: list[str]  # typed to stay where the baseline has them, and what a swapped component got of its own
    config: dict[str, Any]  # resolved
    reference: dict[str, Any]  # the baseline at this seed, on this device and text, resolved
    cell: dict[str, Any] = field(default_factory=dict)  # in a factorial or a curve: the design, and the level of each factor

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def request(self) -> dict[str, Any]:
        """Who asked, for what and why: a line of requests.jsonl."""
        kept = ("baseline", "lock", "label", "changes", "held", "study", "exploring", "command")
        told = {name: getattr(self, name) for name in kept} | {"note": self.config["note"], "why": self.config["why"]}
        return told | ({"cell": self.cell} if self.cell else {})


@dataclass(frozen=True)
class Identified:
    """A job with its data prepared and its identity known; beside it what its baseline is under today's code."""

    job: Job
    data: PreparedData
    manifest: dict[str, Any]
    folder: RunFolder  # where it would be trained first
    baseline_data: PreparedData
    baseline_code: dict[str, str]  # the code map of the baseline's modules
    baseline_change: str  # the change_id of its composition
    edited_from: RunFolder | None = None  # where the change is the code: the baseline's run of this seed
    joined: tuple[str, ...] = ()  # a baseline's identities under code that certificates join with today's

    @property
    def identity(self) -> str:
        identity: str = self.manifest["identity"]
        return identity


def job_of(
    tally: Tally, root: Path, command: str, study: str | None = None, seed: int | None = None, cell: Mapping[str, Any] | None = None
) -> Job:
    """Freeze a request that the rule allows. Raises OneChangeError for one that it doesn't.

    `cell`: what it is in the declared factorial or curve that asks for it. Only a factorial's may make several changes.
    """
    (require_cell if cell and cell["design"] == FACTORIAL else require_one_change)(tally)
    config, overrides = on_this_machine(tally.composition.resolved), list(tally.composition.overrides)
    if seed is not None:
        config["seed"] = seed
        overrides.append(f"seed={seed}")
    base = tally.base.resolved
    reference = base | {key: config[key] for key in ("seed", "device")} | {"data": base["data"] | {"path": config["data"]["path"]}}
    return Job(
        root=str(root),
        baseline=tally.pin.name,
        lock=tally.pin.sha256,
        label=tally.label,
        changes=[change.record() for change in tally.changes],
        exploring=tally.exploring,
        study=study or config["study"],
        command=command,
        overrides=overrides,
        held=told_apart(config)
        + told_of_exploring(tally, study or config["study"])
        + told_of_device(config["device"])
        + ([f"device=auto: {config['device']['kind']}"] if tally.composition.resolved["device"]["kind"] == "auto" else [])
        + [f"{move.path}={say(move.new)} (held)" for move in tally.held]
        + [f"{each} (its own)" for each in tally.composition.settled],
        config=config,
        reference=reference,
        cell=dict(cell or {}),
    )


def on_this_machine(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """A composition with its device settled: what `auto` stands for here. Raises ConfigError for what can't be had."""
    config = dict(resolved) | {"device": settle_device(resolved["device"], resolved["trainer"]["precision"])}
    check_attention(config)
    return config


def told_apart(config: Mapping[str, Any]) -> list[str]:
    """A word on a seed that the pin doesn't list: it trains, and is never judged."""
    seeds = config["judgement"]["seeds"]
    return [] if config["seed"] in seeds else [f"seed {config['seed']} isn't among the pinned seeds: it is shown apart, not judged"]


def told_of_exploring(tally: Tally, study: str) -> list[str]:
    """A word where `explore=true` was typed for what explores nothing: who thinks that it counts nowhere is told that it does."""
    if tally.exploring or not tally.composition.resolved["explore"]:
        return []
    what = "one change is an ordinary run" if tally.changes else "no change is the baseline's own run"
    return [f"explore=true changes nothing here: {what}, and enters the verdicts of study `{study}`"]


def cohort_here(root: Path, baseline: str) -> str | None:
    """The cohort that a run of this baseline would fall into, made now on this machine; None where its text or its device isn't here."""
    try:
        config = on_this_machine(Composer(root).compose((f"baseline={baseline}",)).resolved)
        text = Identifier(root).prepared(config).text
        return cohort_id(cohort_parts(config["device"]["kind"], text, of_role("protocol", config)))
    except LabError:
        return None


class Identifier:
    """Identifies jobs, all of one moment: texts that several of them share are read and prepared once, and so is code."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prepared: dict[str, PreparedData] = {}
        self._code = CodeMaps()

    def identify(self, job: Job) -> Identified:
        """Prepare the data, map the code, hash what makes the run. Raises DataError, ConfigError, MachineError."""
        config = job.config
        data = self.data(config)
        leaves, of_baseline = by_role(config), by_role(job.reference)
        factors, protocol = leaves["factor"], leaves["protocol"]
        code = self._code.of(config)
        bits = bits_of_machine(config["device"]) | {"leaves": leaves["bits"]}
        arm = arm_id(factors, protocol, code, data.token_digest)
        identity = run_identity(arm, job.seed, bits)
        cohort = cohort_parts(config["device"]["kind"], data.text, protocol)
        about = {"factors": of_baseline["factor"], "protocol": of_baseline["protocol"]}
        baseline_data = data if job.exploring else self.prepared(job.reference)  # an exploring run may be of another text
        per_step = config["trainer"]["batch_size"] * config["model"]["context"]
        manifest = {
            "schema": SCHEMA,
            "identity": identity,
            "arm_id": arm,
            "change_id": change_id(factors, protocol, data.token_digest),
            "cohort": cohort_id(cohort),
            "seed": job.seed,
            "baseline": job.baseline,
            "label": job.label,
            "factors": factors,
            "protocol": protocol,
            "code": code,
            "tokens": data.token_digest,
            "bits": bits,
            "cohort_parts": cohort,
            "split": asdict(data.split),
            "steps": config["trainer"]["tokens"] // per_step,
            "tokens_per_step": per_step,
            "bytes_per_token": data.train.n_bytes / data.train.n_tokens,
            "command": job.command,
        }
        return Identified(
            job,
            data,
            manifest,
            run_folder(self.root, job.baseline, job.label, arm, job.seed, identity),
            baseline_data=baseline_data,
            baseline_code=self._code.of(job.reference),
            baseline_change=change_id(**about, tokens=baseline_data.token_digest),
        )

    def data(self, config: Mapping[str, Any]) -> PreparedData:
        """The prepared data of a composition, long enough for it."""
        prepared = self.prepared(config)
        require_length(prepared, config["model"]["context"], config["trainer"]["evaluation"]["block"])
        return prepared

    def prepared(self, config: Mapping[str, Any]) -> PreparedData:
        trainer, data = config["trainer"], config["data"]
        key = repr((data, trainer["evaluation"]))
        if key not in self._prepared:
            corpus = read_corpus(data, cache(self.root))
            self._prepared[key] = prepare(
                corpus.documents,
                data["validation_fraction"],
                data["test_fraction"],
                trainer["evaluation"]["bytes"],
                trainer["evaluation"]["curve_bytes"],
                part(data["tokenizer"]),
                cache(self.root),
                bits_per_byte=corpus.bits_per_byte,
                code=sha256_of(reached(["lab.data.prepare", data["tokenizer"]["_target_"].rpartition(".")[0]], config["trusted_modules"])),
            )
        return self._prepared[key]


def read_corpus(data: Mapping[str, Any], cache: Path) -> Corpus:
    """The corpus, read now: called with its keys, and with what it declares of a path and a cache folder."""
    corpus: Corpus = part(data["corpus"], path=Path(data["path"]) if data["path"] else None, cache=cache)
    return corpus


def part(node: Mapping[str, Any], **offered: Any) -> Any:
    """Call what a checked component node names, with its keys and with what it declares of the rest."""
    module, _, name = node["_target_"].rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{node['_target_']} can't be loaded: {error}\ncheck `_target_` in its option file") from None
    declared = inspect.signature(target).parameters
    values = {key: value for key, value in node.items() if key != "_target_"}
    return target(**values, **{key: value for key, value in offered.items() if key in declared})
