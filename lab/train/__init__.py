"""Training: one update, the measures, and the parts that an option chooses. Knows no config and no files."""
