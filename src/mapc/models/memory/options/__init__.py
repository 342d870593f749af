"""Options of the memory model, and the methods for problems that use them.

A problem without options is left to the methods of `mapc.models.memory.methods`.
"""

from mapc.models.memory.options.model import PLAIN, Options

__all__ = ["PLAIN", "Options"]
