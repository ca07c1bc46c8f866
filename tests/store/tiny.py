"""Tiny run directories, written by hand as the training wing leaves them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.files import append_line, sealed, sha256_file, sha256_of, write_file, write_json
from lab.store.layout import RunFolder, run_folder

COST = {"seconds": 61.0, "training_seconds": 50.0, "tokens_per_second": 1000.0}
METRICS = {"validation_bits_per_byte": 2.125, "validation_nats_per_token": 1.5}
FILES = (
    "config.yaml",
    "overrides.yaml",
    "metrics.jsonl",
    "samples.txt",
    "checkpoint/step-00000020.json",
    "checkpoint/step-00000020.safetensors",
)


def identity_of(label: str, seed: int) -> str:
    return sha256_of([label, seed])


def started(root: Path, label: str = "baseline", seed: int = 0, baseline: str = "tiny", suffix: str = "") -> RunFolder:
    """A run whose manifest is written and that was asked for once: it was stopped before anything else happened."""
    identity, arm = identity_of(label, seed), sha256_of(label)
    folder = run_folder(root, baseline, label, arm, seed, identity)
    folder = RunFolder(folder.path.with_name(folder.path.name + suffix))
    bits = {"torch": {"version": "2.0"}, "cpu": "a processor", "leaves": {"device.threads": 1}}
    about = {"identity": identity, "arm_id": arm, "cohort": "c" * 64, "seed": seed, "baseline": baseline, "label": label, "bits": bits}
    about |= {"steps": 20, "tokens_per_step": 64, "code": {}, "git": None, "command": "python run.py"}
    write_json(folder.manifest, sealed(about))
    return folder


def finished(root: Path, label: str = "baseline", seed: int = 0, status: str = "finished", **more: Any) -> RunFolder:
    """A run with its result, whose digests cover every file."""
    folder = started(root, label, seed, **more)
    for name in FILES:
        write_file(folder.path / name, f"what stands in {name}\n")
    digests = {name: sha256_file(folder.path / name) for name in ("manifest.json", *FILES)}
    result = {"schema": 1, "identity": identity_of(label, seed), "status": status}
    result |= {"metrics": METRICS, "cost": COST, "parameters": {"total": 7}}
    diverged = {"step": 3, "reason": "the loss is nan"} if status == "diverged" else None
    result |= {"diverged": diverged, "digests": digests | {"weights": "w" * 64, "optimizer": "o" * 64}}
    write_json(folder.result, sealed(result))
    return folder


def asked(folder: RunFolder, number: int) -> None:
    request = {"number": number, "at": "2001-01-01", "baseline": "tiny", "label": "baseline", "study": "screening"}
    append_line(folder.requests, request | {"exploring": False, "note": ""})


def child(program: str, *words: object) -> subprocess.Popen[str]:
    """A Python process that reads lines and answers with lines."""
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(process: subprocess.Popen[str], line: object) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def end(process: subprocess.Popen[str]) -> None:
    """Close a child's pipes, which ends it, and wait."""
    process.communicate()
