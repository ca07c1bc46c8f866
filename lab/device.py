"""What computes: threads, determinism and numeric modes, set explicitly, and what torch says of itself."""

from __future__ import annotations

import resource
import sys

import torch


def prepare_device(kind: str, threads: int, deterministic: bool) -> torch.device:
    """Set every mode of torch that can move a bit, whatever was set before, and return the device."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    # Deterministic mode would also fill each new tensor with NaN, to show reads of unwritten memory; we pay for no such step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # torch sets it dynamically
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    torch.backends.cudnn.benchmark = False
    return torch.device(kind)


def bits_of_torch() -> dict[str, str | None]:
    """What torch says of its build, to hold against the torch-free fingerprint."""
    return {
        "version": str(torch.__version__),
        "commit": torch.version.git_version,
        "cuda": torch.version.cuda,
    }


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far (resident; macOS counts bytes, Linux kibibytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
