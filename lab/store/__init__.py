"""Run directories: where they lie, who owns one, what stands in it. No torch."""
