"""Optimizers, one file each: built as `optimizer(named_parameters, fused=...)`."""
