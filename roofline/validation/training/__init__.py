"""A training step of the real module, timed and counted beside its prediction."""
