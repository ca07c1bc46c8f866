"""Optimizers, one file each: built as `optimizer(groups, fused=..., lr=..., ...)`, with the groups of lab/train/groups.py.

Each is a torch Optimizer whose `param_groups` hold `lr`, whose `state` holds all that it remembers by parameter (memory.py
saves and restores it), and whose step draws no random number.
"""
