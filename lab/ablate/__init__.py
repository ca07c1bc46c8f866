"""The rule of one change: pins, counting, and which code a run executes. No torch."""
