"""Which NVIDIA processors this process may use, asked of the driver itself. No torch, no context, no memory on the card.

Owns the one use of libcuda. A missing library, a driver that doesn't answer and a machine without a card are all "no device".
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

LIBRARY = "libcuda.so.1"
SUCCESS = 0
LONGEST_NAME = 256


@dataclass(frozen=True)
class Driver:
    """`cuda` is the newest CUDA version that the driver speaks ("12.4"), `devices` the model names that CUDA_VISIBLE_DEVICES leaves."""

    cuda: str
    devices: tuple[str, ...]


@cache
def driver() -> Driver | None:
    """What the driver says; None where there is none. Takes about 0.1 s the first time, so it's asked only for a GPU's sake."""
    try:
        return ask(ctypes.CDLL(LIBRARY))
    except (OSError, AttributeError):  # no such library, or one without these functions
        return None


def ask(library: ctypes.CDLL) -> Driver | None:
    """The driver's version and its devices, in its own order: the first is torch's `cuda:0`."""
    version, count = ctypes.c_int(), ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)) != SUCCESS:
        return None
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    if library.cuInit(0) != SUCCESS or library.cuDeviceGetCount(ctypes.byref(count)) != SUCCESS:
        return Driver(cuda, ())
    names = [name_of(library, number) for number in range(count.value)]
    return Driver(cuda, tuple(name for name in names if name))


def name_of(library: ctypes.CDLL, number: int) -> str:
    """A device's model name; empty where the driver doesn't tell it."""
    device, name = ctypes.c_int(), ctypes.create_string_buffer(LONGEST_NAME)
    told = library.cuDeviceGet(ctypes.byref(device), number) == SUCCESS and library.cuDeviceGetName(name, LONGEST_NAME, device) == SUCCESS
    return name.value.decode(errors="replace").strip() if told else ""
