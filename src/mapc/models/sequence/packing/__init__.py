"""Micro-batches, groups and sequences packed and searched together."""
