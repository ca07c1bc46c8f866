"""Confirmation: one arm judged once, on seeds that nothing was chosen by and on the range of the text that no run reads."""

from lab.confirm.story import confirm

__all__ = ["confirm"]
