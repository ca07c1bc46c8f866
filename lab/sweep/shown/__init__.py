"""What a terminal shows of a sweep that runs: what it knows (course, tail), and how that is drawn (picture, grid, fitted)."""
