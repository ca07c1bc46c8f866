"""Proof by repetition: finished runs, or both ends of them, trained again under today's code and compared to the bit."""
