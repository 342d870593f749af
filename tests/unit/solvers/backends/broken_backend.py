"""A backend whose solver is installed and cannot be loaded."""

raise ImportError("libsolver.so.1: undefined symbol: frobnicate")
