"""How the model knows where a token stands, one file each: built as `position(context, width, heads)`, `[B, T, D] -> [B, T, D]`.

It may have a method `turn`, `[B, N, T, H] -> [B, N, T, H]`, which attention applies to queries and keys.
"""
