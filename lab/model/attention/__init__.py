"""Sub-blocks that mix positions, one file each: built as `attention(width, heads, context, path=...)`.

Called as `attention(x_BTD, turn)`, `[B, T, D] -> [B, T, D]`; `turn` rotates queries and keys by their position, or is None.
"""
