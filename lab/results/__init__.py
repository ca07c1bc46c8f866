"""The paper wing: run directories in, a claim out. Never imports torch; pandas, scipy and rich load only with the module that needs them.

from lab.results import load
lab = load("runs")             # lab.runs, lab.metrics, lab.arms: docs/the-frames.md

from lab.results.report import build
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.results.collect import Lab, load

__all__ = ["Lab", "load"]


def __getattr__(name: str) -> object:
    """`load`, imported when it is asked for: who imports one module of this wing loads no other."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lab.results import collect

    return getattr(collect, name)
