"""What can go wrong for a user, and the exit status of each. Imports nothing; a bug of ours is an `assert`, never one of these."""


class LabError(Exception):
    """A user's mistake or a machine's fault, told in one message: what is wrong, what was found, how to get out."""

    exit_status = 2


class ConfigError(LabError):
    """A key, value, option or combination that the schema or a constraint doesn't allow."""


class PinError(LabError):
    """A baseline that is missing, edited since its pin, drifted, or already there."""


class OneChangeError(LabError):
    """A run that differs from its baseline by more than one change, or in something that makes them incomparable."""


class DataError(LabError):
    """A corpus, split, tokenizer or token file that can't be used as it is."""


class StoreError(LabError):
    """A run directory or a file in it that is damaged, missing or held by another process."""

    exit_status = 1


class MachineError(LabError):
    """The machine failed the run: memory, disk, a library other than the one that was promised."""

    exit_status = 1


class RunError(LabError):
    """The run's own code failed it, a hook's or a component's: once more would fail again."""

    exit_status = 1


class Interrupted(LabError):
    """A signal asked the run to stop; it was checkpointed and can be continued."""

    exit_status = 130
