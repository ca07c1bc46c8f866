"""What computes: threads, determinism and numeric modes, set explicitly, and what torch says of itself.

Owns every call that differs between processor, CUDA and Metal, so that nothing above names a device. What a kind of device
can't do was refused before torch was loaded (lab/store/abilities.py).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from lab.errors import MachineError

# glibc's mallopt(3). Blocks up to so many bytes come from the heap (older versions take 32 MiB at most) ...
M_MMAP_THRESHOLD, LARGEST_BLOCKS = -3, (1 << 30, 1 << 25)
# ... and nothing is given back from the heap's end. Alone this would make all worse: it ends the first one's growing by itself.
M_TRIM_THRESHOLD, NEVER = -1, (1 << 31) - 1
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def prepare_device(kind: str, threads: int, deterministic: bool) -> torch.device:
    """Set every mode of torch that can move a bit, whatever was set before, and return the device. Raises MachineError."""
    require_answer(kind)
    keep_freed_memory()
    torch.set_num_threads(threads)
    # The same switch as use_deterministic_algorithms, which would load all of torch's compiler (a second and more, every run).
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Deterministic mode would also fill each new tensor with NaN, to show reads of unwritten memory; we pay for no such step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # torch sets it dynamically
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    # fp32 means fp32: TF32 keeps 10 of its 23 bits of mantissa. Sums of bf16 products stay in fp32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = deterministic
    # Flash and memory-efficient attention have a deterministic backward, taken when determinism is asked for; cuDNN's has none.
    torch.backends.cuda.enable_flash_sdp(True)
    torch.backends.cuda.enable_mem_efficient_sdp(True)
    torch.backends.cuda.enable_math_sdp(True)
    torch.backends.cuda.enable_cudnn_sdp(not deterministic)
    return torch.device(kind)


def keep_freed_memory() -> bool:
    """Let the C library keep what a step frees for the next step, instead of giving it to the system and asking again.

    Where torch frees and allocates some megabytes a hundred times a step, the system would hand out zeroed pages each time: up
    to 8,000 page faults a step. Without them a step of nano takes 10 to 15 % less time in bf16, 2 % in fp32 (docs/log.md).
    Moves no bit. False where the library has no such switch (macOS, musl).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; no such library; Windows has no "this process"
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_BLOCKS) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))


def always() -> bool:
    return True


ANSWERS: dict[str, Callable[[], bool]] = {"cpu": always, "cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


def require_answer(kind: str) -> None:
    """The device was promised from outside torch; now torch must be able to use it. Raises MachineError."""
    assert kind in ANSWERS, f"device {kind!r}: known are {', '.join(ANSWERS)}"
    if not ANSWERS[kind]():
        raise MachineError(
            f"torch {torch.__version__} can't use device.kind={kind}, though the machine has it\n"
            f"a driver that is older than this torch needs is the usual cause: update one of them, or take device=cpu"
        )


def bits_of_torch(kind: str = "cpu") -> dict[str, str | None]:
    """What torch says of its build, and of the GPU, to hold against the torch-free fingerprint."""
    build = {
        "version": str(torch.__version__),
        "commit": torch.version.git_version,
        "cuda": torch.version.cuda,
    }
    return build | ({"gpu": torch.cuda.get_device_name(0)} if kind == "cuda" else {})


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context of one forward pass in this precision: weights stay fp32, and in bf16 the products are taken in bf16."""
    assert precision in PRECISIONS, f"precision {precision!r}: known are {', '.join(PRECISIONS)}"
    dtype = PRECISIONS[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model's parameters lie; the processor for one that has none."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it: before a clock is read. A processor has."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def peak_memory_bytes(device: torch.device | None = None) -> int | None:
    """The most memory that this process has held so far on the device; None where the system doesn't say.

    cuda  the most that tensors took at once
    mps   what the driver holds for this process now: Metal keeps no peak, and torch gives back little of it
    cpu   resident (macOS counts bytes, Linux kibibytes)
    """
    kind = "cpu" if device is None else device.type
    if kind == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if kind == "mps":
        return torch.mps.driver_allocated_memory()
    try:
        import resource
    except ImportError:  # Windows, which is no home of ours
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
