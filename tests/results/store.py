"""A tiny store of real run directories, written as the training wing writes them, for the paper wing to read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.ablate.certificate import Finding, map_hash, write_finding
from lab.ablate.lock import lock_hash, lock_path, option_digest, option_path
from lab.files import sealed, sha256_of, write_json
from lab.results.facts import Facts
from lab.results.reading import Verdict
from lab.results.report import Report, Section, build
from lab.results.telling import tell
from lab.store.declaration import Declaration, DeclaredArm
from lab.store.studies import declare

CODE = {"lab.experiment": "e" * 64, "lab.model.gpt": "f" * 64}
# differences between seeds as a small model shows them, in bits per byte
BASE = [2.101, 2.113, 2.095, 2.108, 2.120, 2.099, 2.104, 2.117, 2.092, 2.110, 2.106, 2.098]
WOBBLE = [0.0011, -0.0008, 0.0002, -0.0013, 0.0009, 0.0004, -0.0006, 0.0012, -0.0010, 0.0001, 0.0007, -0.0005]
BITS = {"torch": {"version": "2.13"}, "cpu": "a processor", "leaves": {"device.threads": 1}}
MEASURE = "validation_bits_per_byte"


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


CHANGE = digest("change", "baseline")  # the baseline's composition


def paired(equal: int = 43, same: int = 400, **names: list[str]) -> dict[str, Any]:
    """A manifest's pairing with the baseline, of 43 tensors, 400 batches and 12 dropout sites; names of tensors as told."""
    lists: dict[str, list[str]] = {key: [] for key in ("same_draws", "other", "only_here", "only_baseline")} | names
    dropout = {"of": 12, "keyed": 12, "shared": 12}
    return {"initial": {"of": 43, "equal": equal} | lists, "data": {"unit": "batches", "of": 400, "same": same}, "dropout": dropout}


class Store:
    """A project's root with one pinned baseline; each call adds to it."""

    def __init__(self, root: Path) -> None:
        self.root, self.name, self.number = root, "demo", 0
        self.pin()

    def pin(self, lock: str = "first", metric: str = "bits_per_byte", **judgement: Any) -> None:
        """Write the lock; the default judgement has one look at three seeds and a D of 0.005."""
        self.metric = metric
        judged = {"direction": "lower", "alpha": 0.05, "smallest_effect": 0.005, "looks": [3], "seeds": list(range(12)), **judgement}
        composition = {"judgement": judged, "trainer": {"evaluation": {"metric": metric}}, "data": {"test_fraction": 0.05}}
        option, path = option_path(self.root, self.name), lock_path(self.root, self.name)
        option.parent.mkdir(parents=True, exist_ok=True)
        option.write_text("# @package _global_\nmodel:\n  n_layers: 2\n")
        parts = {"file_digest": option_digest(option), "choices": {}, "overrides": [lock], "composition": composition}
        self.lock = lock_hash(self.name, **parts)
        path.write_text(json.dumps({"schema": 1, "name": self.name, "sha256": self.lock} | parts))

    def run(self, label: str, seed: int, value: float | None = 2.1, **told: Any) -> Path:
        """One run directory with one request. What is told replaces what a finished run would say."""
        status = told.get("status", "finished")
        arm_id = told.get("arm_id", digest(label, told.get("code", CODE)))
        bits, cohort = told.get("bits", BITS), told.get("cohort", "c" * 64)
        identity = told.get("identity", digest(arm_id, seed, bits, cohort))
        folder = self.root / "runs" / self.name / f"{arm_id[:6]}" / f"seed={seed}-{identity[:12]}{told.get('suffix', '')}"
        folder.mkdir(parents=True)
        manifest = {"schema": 1, "identity": identity, "arm_id": arm_id, "cohort": cohort, "seed": seed, "baseline": self.name}
        manifest |= {
            "label": label,
            "factors": told.get("factors", {}),
            "protocol": {},
            "code": told.get("code", CODE),
            "tokens": {},
            "bits": bits,
        }
        made_on = {"device": "cpu", "device_class": "x86_64", "torch": "2.13"} | told.get("made_on", {})
        manifest |= {"cohort_parts": made_on, "steps": 100, "tokens_per_step": 64}
        manifest |= {"parameters": {"total": 1000, "embedding": 100}}
        manifest |= {"bytes_per_token": told["bytes_per_token"]} if "bytes_per_token" in told else {}
        manifest |= {"change_id": told.get("change_id", CHANGE if label.startswith("code=") else digest("change", label))}
        alone = label == "baseline" or label.startswith("code=")
        manifest |= {"pairing": told.get("pairing", None if alone else paired()), "git": None, "command": "python run.py"}
        write_json(folder / "manifest.json", sealed(manifest))
        if "documents" in told:
            sizes, nats = told["documents"]
            write_json(folder / "documents.json", sealed({"schema": 1, "bytes": sizes, "nats": nats}))
        if status in ("finished", "diverged"):
            write_json(folder / "result.json", sealed(self.result(identity, seed, status, value, told)))
        if status == "failed":
            write_json(folder / "failure.json", {"error": "no space left on device"})
        self.ask(folder, label, **told)
        return folder

    def result(self, identity: str, seed: int, status: str, value: float | None, told: dict[str, Any]) -> dict[str, Any]:
        curves = {"half_curve_bits_per_byte": told.get("half", 2.4), "final_curve_bits_per_byte": told.get("final", 2.15)}
        metrics = {f"validation_{self.metric}": value, **curves}
        cost = {"seconds": 60.0, "training_seconds": 50.0, "tokens_per_second": 1e5, "seconds_per_step": 0.5, "peak_memory_bytes": 10**8}
        cost |= told.get("cost", {})
        diverged = {"step": told.get("step", 40), "reason": "the loss is not finite"} if status == "diverged" else None
        digests = {"weights": told.get("weights", digest(identity)), "optimizer": told.get("optimizer", digest(identity, "optimizer"))}
        digests |= {"judged_weights": told["judged_weights"]} if "judged_weights" in told else {}
        result = {"schema": 1, "identity": identity, "status": status, "step": 100, "steps": 100, "tokens": 6400, "diverged": diverged}
        sizes = {"total": told.get("total", 1000), "embedding": 100}
        return {**result, "metrics": metrics, "parameters": sizes, "cost": cost, "digests": digests}

    def ask(self, folder: Path, label: str, **told: Any) -> None:
        """One more request for a run that is there."""
        self.number += 1
        count = told.get("changes", 0 if label == "baseline" else 1)
        change = {"kind": "group", "path": "model/norm", "old": "layernorm", "new": "rmsnorm", "source": "command line", "moves": []}
        if label.startswith("code="):
            change |= {"kind": "code", "path": "code", "old": "0" * 8, "new": label.removeprefix("code="), "source": "lab/model/gpt.py"}
        request = {"number": told.get("number", self.number), "at": "2001-01-01T00:00:00", "baseline": self.name, "label": label}
        request |= {"lock": told.get("lock", self.lock), "changes": [change] * count, "study": told.get("study", "norms")}
        request |= {"exploring": told.get("exploring", False), "note": told.get("note", ""), "why": told.get("why", "")}
        request |= {"command": told.get("command", "python run.py")}
        request |= {"cell": told["cell"]} if "cell" in told else {}
        with (folder / "requests.jsonl").open("a") as stream:
            stream.write(json.dumps(request) + "\n")

    def arm(self, label: str, values: Sequence[float | None], seeds: Iterable[int] | None = None, **told: Any) -> list[Path]:
        """An arm's runs on these seeds (the first ones); a value of None is a divergence."""
        numbered = zip(seeds if seeds is not None else range(len(values)), values, strict=True)
        return [
            self.run(label, seed, value, **{"status": "finished" if value is not None else "diverged", **told}) for seed, value in numbered
        ]

    def baseline(self, count: int, **told: Any) -> list[Path]:
        return self.arm("baseline", BASE[:count], **told)

    def shifted(self, label: str, count: int, shift: float, wobble: float = 1.0, **told: Any) -> list[Path]:
        """An arm that differs from the baseline by about `shift` on every seed."""
        return self.arm(label, [base + shift + wobble * noise for base, noise in zip(BASE[:count], WOBBLE, strict=False)], **told)

    def edit(self, code: Mapping[str, str], count: int, shift: float = -0.05, **told: Any) -> str:
        """Runs of the baseline under edited code, asked for as that change. Returns the arm's label."""
        label = f"code={map_hash(code)[:8]}"
        self.shifted(label, count, shift, code=dict(code), **told)
        return label

    def certificate(self, old: Mapping[str, str], new: Mapping[str, str], difference: dict[str, Any] | None = None, **told: Any) -> Path:
        """What a replay of the baseline's first run under other code came to."""
        where: dict[str, Any] = {
            "change_id": CHANGE,
            "cohort": "c" * 64,
            "bits": sha256_of(BITS),
            "run": f"{self.name}/aaaaaa/seed=0-abcdef012345",
        }
        where |= {"baseline": self.name, "seed": 0, "spans": [[0, 19], [80, 99]], "other_seeds": [1, 2], "seconds": 8.13}
        about = Finding(old=dict(old), new=dict(new), difference=difference, **where | told)
        return write_finding(self.root / "runs", about)

    def declare(self, study: str, *labels: str, **told: Any) -> Declaration:
        """A study's declaration: its arms by their labels, as a sweep writes it unless told otherwise."""
        arms = tuple(DeclaredArm(label, digest("change", label)) for label in labels)
        parts: dict[str, Any] = {"baseline": self.name, "lock": self.lock, "question": "", "by_hand": False}
        return declare(self.root, Declaration(name=study, arms=arms, **parts | told))

    def report(self, cohort: str | None = None, here: str | None = None) -> Report:
        return build(self.root, self.name, cohort, lambda known: here)

    def facts(self, arms: str = "*", here: str | None = None) -> Facts:
        return tell(self.report(here=here), arms)

    def section(self) -> Section:
        """The first one, where the runs of one cohort stand unless a test says otherwise."""
        return self.report().sections[0]

    def verdict(self, label: str) -> Verdict:
        """The verdict on an arm of the first section; asserts that there is just one."""
        found = [verdict for verdict in self.section().verdicts if verdict.label == label]
        assert len(found) == 1, f"{len(found)} verdicts on {label}"
        return found[0]
