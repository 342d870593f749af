"""Sequences of a training step on groups of ranks; not among the families yet."""
