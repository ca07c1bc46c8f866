"""Runs beyond this machine: Ray, SLURM, and submitit on this one. Same rows, same frozen code, the store on a shared folder."""
