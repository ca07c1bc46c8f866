"""A/A checks on real runs: arms that differ from the baseline in nothing that could matter, through the whole pipeline. No torch."""

from lab.selfcheck.ask import selfcheck

__all__ = ["selfcheck"]
