"""What of this machine can move a bit of a run, and what of it two runs must share to be compared. Found without torch."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lab.errors import MachineError
from lab.store import gpu

# Variables that choose another code path in torch or the libraries below it. Recorded only where they are set.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",  # chooses libm's variants of exp, pow, cos
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
# The same for one kind of device, and for compiled models.
VARIABLES_OF = {
    "cuda": ("TORCH_BLAS_PREFER_CUBLASLT", "CUBLASLT_WORKSPACE_SIZE", "CUDA_FORCE_PTX_JIT"),
    "mps": ("PYTORCH_ENABLE_MPS_FALLBACK", "PYTORCH_MPS_FAST_MATH", "PYTORCH_MPS_PREFER_METAL"),
}
COMPILER_VARIABLES = ("TORCHINDUCTOR_", "TORCHDYNAMO_", "TORCH_COMPILE_")
# Of those, what only says more, writes a log, or decides when and where code is compiled and kept (torch 2.13, torch/_inductor/config.py,
# torch/_dynamo/config.py). By name, because a name tells little: TORCHINDUCTOR_DEBUG_COMPILE compiles without optimisation.
IDLE_COMPILER_VARIABLES = (
    "TORCHDYNAMO_EXTENDED_ADVICE",
    "TORCHDYNAMO_EXTENDED_DEBUG_CPP",
    "TORCHDYNAMO_EXTENDED_DEBUG_CREATE_SYMBOL",
    "TORCHDYNAMO_EXTENDED_DEBUG_GUARD_ADDED",
    "TORCHDYNAMO_PRINT_MISSING",
    "TORCHDYNAMO_VERBOSE",
    "TORCHINDUCTOR_AUTOTUNE_NUM_CHOICES_DISPLAYED",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCHINDUCTOR_COMPILE_THREADS",
    "TORCHINDUCTOR_COMPILE_WORKER_WAIT_TIMEOUT",
    "TORCHINDUCTOR_CONV_LOGGING_FILE",
    "TORCHINDUCTOR_DEBUG_FUSION",
    "TORCHINDUCTOR_ENABLED_METRIC_TABLES",
    "TORCHINDUCTOR_FILE_LOCK_TIMEOUT",
    "TORCHINDUCTOR_FLEX_ATTENTION_LOGGING_FILE",
    "TORCHINDUCTOR_MM_LOGGING_FILE",
    "TORCHINDUCTOR_PATTERN_MATCH_DEBUG",
    "TORCHINDUCTOR_QUIESCE_ASYNC_COMPILE_POOL",
    "TORCHINDUCTOR_WORKER_LOGPATH",
    "TORCHINDUCTOR_WORKER_START",
    "TORCHINDUCTOR_WORKER_SUPPRESS_LOGGING",
    "TORCHINDUCTOR_WRITE_MISSING_OPS",
    "TORCH_COMPILE_CPROFILE",
    "TORCH_COMPILE_DEBUG",
    "TORCH_COMPILE_DEBUG_DIR",
    "TORCH_COMPILE_DYNAMO_PROFILER",
)
ISA_FAMILIES = ("avx", "amx", "fma", "sse4", "asimd", "sve", "bf16", "fphp")
CPUINFO = Path("/proc/cpuinfo")
# How long a thread of torch's pool spins for work before it sleeps; read when torch is loaded. Left alone it spins so long that
# two runs on the same cores are 30 times slower than one (docs/log.md, 2026-11-20). Moves no bit.
SPINS = "3000"
# A run on the processor, as it was before there were other devices.
PROCESSOR: Mapping[str, Any] = MappingProxyType({"kind": "cpu", "deterministic": True, "compile": False})


def bits_of_machine(device: Mapping[str, Any] = PROCESSOR) -> dict[str, Any]:
    """What may move a bit of a run on this settled device: torch's exact build, processors, and variables that steer them.

    The processor counts on every device: it draws the first weights and sums up the evaluations. What the device needs to be
    repeatable (`variables_for`) is counted as set already, so that this changes no environment.
    """
    processor, instructions = cpu()
    kind = device["kind"]
    found = {
        "torch": torch_build(),
        "cpu": processor,
        "isa": instructions,
        "variables": {name: value for name, value in sorted((variables_for(device) | os.environ).items()) if steers(name, device)},
    }
    if kind != "cpu":
        found |= {"gpu": device_class(kind), "driver": driver_version(kind)}
    return found | ({"compiler": compiler_version(kind)} if device["compile"] else {})


def steers(name: str, device: Mapping[str, Any]) -> bool:
    """Whether a variable can move a bit on this device. One of the compiler's does, unless it's known not to."""
    if device["compile"] and name.startswith(COMPILER_VARIABLES):
        return name not in IDLE_COMPILER_VARIABLES
    return name in VARIABLES or name in VARIABLES_OF.get(device["kind"], ())


def variables_for(device: Mapping[str, Any]) -> dict[str, str]:
    """What must stand in the environment before torch is loaded, so that this device gives the same bits twice.

    cuBLAS keeps its order of sums only with a fixed workspace (cuBLAS manual, "Results Reproducibility"); inductor chooses
    kernels by timing them, and so other ones on another day, unless it's told not to (torch/_inductor/config.py).
    """
    workspace = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if device["kind"] == "cuda" else {}
    kernels = {"TORCHINDUCTOR_DETERMINISTIC": "1"} if device["compile"] else {}
    return workspace | kernels if device["deterministic"] else {}


def set_variables(device: Mapping[str, Any]) -> None:
    """Put what the device needs into this process's environment, in the process that trains, before it loads torch."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    for name, value in variables_for(device).items():
        os.environ.setdefault(name, value)


@cache
def torch_build() -> dict[str, str | None]:
    """torch's version, commit and CUDA version, read from its version file. The commit settles the BLAS it was built with."""
    tree = ast.parse((torch_folder() / "version.py").read_text(encoding="utf-8"))
    found: dict[str, str | None] = {}
    for line in tree.body:
        if isinstance(line, (ast.Assign, ast.AnnAssign)) and isinstance(line.value, ast.Constant):
            target = line.targets[0] if isinstance(line, ast.Assign) else line.target
            if isinstance(target, ast.Name):
                found[target.id] = line.value.value if isinstance(line.value.value, str) else None
    return {"version": found.get("__version__"), "commit": found.get("git_version"), "cuda": found.get("cuda")}


def torch_folder() -> Path:
    """Where torch is installed."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise MachineError("torch isn't installed in this environment\ninstall the project: pip install -c constraints.txt -e .")
    return Path(spec.origin).parent


@cache
def cpu() -> tuple[str, list[str]]:
    """The processor's name and the instruction sets that numerical libraries choose by."""
    name, flags = platform.processor() or platform.machine(), set()
    if CPUINFO.exists():
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    elif platform.system() == "Darwin":
        name = first_line("sysctl", "-n", "machdep.cpu.brand_string") or name
    return name, sorted({platform.machine(), *(flag for flag in flags if flag.startswith(ISA_FAMILIES))})


def first_line(*words: str) -> str:
    """The first line that a command says; empty where there's no such command."""
    try:
        lines = subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout.splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""


def device_class(kind: str) -> str:
    """The model of what computes: a processor's architecture (its model is a matter of bits), a GPU's name, a chip's name."""
    if kind == "cuda":
        driver = gpu.driver()
        assert driver is not None and driver.devices, "cuda was settled without a GPU"
        return driver.devices[0]
    return cpu()[0] if kind == "mps" else platform.machine()


def driver_version(kind: str) -> str:
    """The version of what translates for the GPU: the CUDA version of the driver, or of macOS, which brings Metal."""
    driver = gpu.driver()
    return driver.cuda if kind == "cuda" and driver is not None else platform.mac_ver()[0]


@cache
def compiler_version(kind: str) -> str:
    """What turns a compiled model into machine code: the C++ compiler, or Triton."""
    return f"triton {importlib.metadata.version('triton')}" if kind == "cuda" else first_line(cxx(), "--version")


def cxx() -> str:
    """The C++ compiler that inductor takes (torch/_inductor/config.py, `cpp.cxx`)."""
    return os.environ.get("CXX") or ("clang++" if platform.system() == "Darwin" else "g++")


def cohort_parts(kind: str, text: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """What two runs must share to be compared."""
    version = torch_build()["version"] or ""
    return {
        "device": kind,
        "device_class": device_class(kind),
        "torch": ".".join(version.split(".")[:2]),
        "text": text,
        "protocol": protocol,
    }


def check_torch(build: dict[str, Any]) -> None:
    """What torch says of itself, and of the GPU, must be what was promised without it. Raises MachineError."""
    promised = torch_build() | ({"gpu": device_class("cuda")} if "gpu" in build else {})
    for part, found in build.items():
        if part in promised and promised[part] != found:
            raise MachineError(
                f"torch's {part} is {found!r}, but {promised[part]!r} was promised before it was loaded: the identity would be false\n"
                f"reinstall torch in this environment"
            )
