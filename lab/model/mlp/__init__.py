"""Position-wise sub-blocks, one file each: built as `mlp(width)`, `[B, T, D] -> [B, T, D]`."""
