"""Observatory: change one thing, train it next to a pinned baseline, learn whether the difference is real."""
