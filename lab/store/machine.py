"""What of this machine can move a bit of a run, and what of it two runs must share to be compared. Found without torch."""

from __future__ import annotations

import ast
import importlib.util
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from lab.errors import MachineError

# Variables that choose another code path in torch or the libraries below it. Recorded only where they are set.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "KMP_DETERMINISTIC_REDUCTION",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_THREAD_LIMIT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
ISA_FAMILIES = ("avx", "amx", "fma", "sse4", "asimd", "sve", "bf16", "fphp")


def bits_of_machine() -> dict[str, Any]:
    """What may move a bit: torch's exact build, the processor, its instruction set, and variables that steer them."""
    processor, instructions = cpu()
    return {
        "torch": torch_build(),
        "cpu": processor,
        "isa": instructions,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


@cache
def torch_build() -> dict[str, str | None]:
    """torch's version, commit and CUDA version, read from its version file. The commit settles the BLAS it was built with."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise MachineError("torch isn't installed in this environment\ninstall the project: pip install -c constraints.txt -e .")
    tree = ast.parse(Path(spec.origin).with_name("version.py").read_text())
    found: dict[str, str | None] = {}
    for line in tree.body:
        if isinstance(line, (ast.Assign, ast.AnnAssign)) and isinstance(line.value, ast.Constant):
            target = line.targets[0] if isinstance(line, ast.Assign) else line.target
            if isinstance(target, ast.Name):
                found[target.id] = line.value.value if isinstance(line.value.value, str) else None
    return {"version": found.get("__version__"), "commit": found.get("git_version"), "cuda": found.get("cuda")}


@cache
def cpu() -> tuple[str, list[str]]:
    """The processor's name and the instruction sets that numerical libraries choose by."""
    info = Path("/proc/cpuinfo")
    name, flags = platform.processor() or platform.machine(), set()
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    elif platform.system() == "Darwin":
        name = (
            subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False).stdout.strip() or name
        )
    return name, sorted({platform.machine(), *(flag for flag in flags if flag.startswith(ISA_FAMILIES))})


def cohort_parts(kind: str, text: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """What two runs must share to be compared. A processor's class is its architecture; its model is a matter of bits."""
    version = torch_build()["version"] or ""
    return {
        "device": kind,
        "device_class": platform.machine(),
        "torch": ".".join(version.split(".")[:2]),
        "text": text,
        "protocol": protocol,
    }


def check_torch(build: dict[str, Any]) -> None:
    """What torch says of itself must be what was promised without it. Raises MachineError."""
    promised = torch_build()
    for part, found in build.items():
        if part in promised and promised[part] != found:
            raise MachineError(
                f"torch's {part} is {found!r}, but its files promised {promised[part]!r}: the run would carry a false identity\n"
                f"reinstall torch in this environment"
            )
