"""How fast a composition trains on this machine, and against another one. Trains a few steps, writes nothing into runs/."""
