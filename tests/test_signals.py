"""Ctrl-C while nothing is being trained: out at once, whatever catches exceptions around it."""

from __future__ import annotations

import subprocess
import sys

SWALLOWING = """
import os, signal
from lab.signals import leave_on_interrupt
leave_on_interrupt()
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:  # as torch's imports and OmegaConf's conversions do
    pass
print("swallowed")
"""


def test_an_interrupt_cannot_get_lost_in_code_that_catches_everything() -> None:
    done = subprocess.run([sys.executable, "-c", SWALLOWING], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "stopped; nothing was being trained"
