"""Sub-blocks that mix positions, one file each: built as `attention(width, heads, context)`, `[B, T, D] -> [B, T, D]`."""
