"""The model: its components, one file each, and how they stand together. Knows widths and paths, knows no config and no data."""
