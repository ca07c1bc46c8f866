"""What `lab bench` was asked for, before torch is loaded: data prepared, the environment set, a temporary folder made.

Any composition may be timed, several changes at once too: a bench is no ablation and enters no verdict.
"""

from __future__ import annotations

import errno
import importlib
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.errors import ConfigError
from lab.request import Identifier
from lab.store.abilities import told_of_device
from lab.store.machine import set_variables

STEPS = 40  # training steps to time, where nobody says how many
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def bench(root: Path, configs: Sequence[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Time one composition, or two against each other. Raises LabError; leaves nothing on the disk but prepared data."""
    if steps < 1:
        raise ConfigError(f"--steps {steps}: nothing would be timed\ngive a number above 0; 40 take about twenty seconds for nano")
    identifier = Identifier(root)
    datas = [identifier.data(config) for config in configs]
    for config in configs:
        set_variables(config["device"])
        for word in told_of_device(config["device"]):
            tell(word)
    with temporary_folder() as folder:
        measure = importlib.import_module("lab.bench.measure")  # by name: it loads torch
        try:
            if len(configs) == 1:
                found: dict[str, Any] = measure.one(configs[0], datas[0], Path(folder), steps, tell)
            else:
                found = measure.two(configs, datas, Path(folder), steps, tell)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise no_folder(error) from error
    return found


def words_of(against: Sequence[str]) -> list[str]:
    """Words out of quoted strings of words."""
    try:
        return [word for each in against for word in shlex.split(each)]
    except ValueError as error:
        raise ConfigError(
            f"--against {' '.join(against)}: it can't be cut into words: {error}\nquote the whole once: --against 'KEY=VALUE KEY=VALUE'"
        ) from None


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """For a run's growing files, which nobody keeps."""
    try:
        return tempfile.TemporaryDirectory(prefix="lab-bench-", ignore_cleanup_errors=True)
    except OSError as error:
        raise no_folder(error) from error


def no_folder(error: OSError) -> ConfigError:
    return ConfigError(f"the temporary folder can't be written: {error}\nmake room there, or name another: export TMPDIR=FOLDER")


def tell(words: str) -> None:
    """Progress goes to standard error: standard output is for the result."""
    print(words, file=sys.stderr, flush=True)
