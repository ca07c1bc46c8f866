"""How the model knows where a token stands, one file each: built as `position(context, width)`, `[B, T, D] -> [B, T, D]`."""
