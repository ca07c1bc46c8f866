"""Normalisations, one file each: built as `norm(width)`, `[..., D] -> [..., D]`."""
