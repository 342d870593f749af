"""Placement as programs for solvers."""
