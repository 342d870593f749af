"""The command line: one module per command.

Nothing here imports numpy or a solver before a command runs: ``mapc --help`` answers at once.
"""

from mapc.cli.app import app, main

__all__ = ["app", "main"]
