"""Where the project lies: as given, else upwards from the working directory, else the checkout that holds this code."""

from __future__ import annotations

from pathlib import Path

from lab.errors import ConfigError


def find_root(given: str | None = None) -> Path:
    """The project's root: as given, else upwards from the working directory, else the checkout that holds this code.

    Raises ConfigError where there's none, and where the project has a lab/ of its own and this is another copy of it: an edit there
    would move nothing here.
    """
    root = found(given)
    mine = Path(__file__).resolve().parents[1]
    theirs = root / "lab"
    if (theirs / "experiment.py").is_file() and theirs.resolve() != mine:
        raise ConfigError(
            f"this project's code is {theirs}, and what runs is another copy: {mine}\n"
            f"run it from the project's folder (python -m lab ...), or install that: pip install -e {root}"
        )
    return root


def found(given: str | None) -> Path:
    """The folder that holds conf/ and run.py."""
    if given is not None:
        root = Path(given).resolve()
        if not (root / "conf" / "config.yaml").is_file():
            raise ConfigError(f"--root {given}: no conf/config.yaml there\ngive the folder that holds conf/ and run.py")
        return root
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, checkout):
        if (folder / "conf" / "config.yaml").is_file() and (folder / "run.py").is_file():
            return folder
    raise ConfigError(f"no project here: neither {here} nor a folder above it holds conf/config.yaml and run.py\ngive --root FOLDER")
