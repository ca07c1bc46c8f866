"""How weights start: the draws, and a file for each scheme."""
