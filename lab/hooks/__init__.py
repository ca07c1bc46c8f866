"""Hooks, one file each. The contract is lab/train/hook.py."""
