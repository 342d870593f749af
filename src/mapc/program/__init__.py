"""The solver-neutral model: variable blocks, row blocks and CP records."""

from mapc.program.model import Block, Matrix, Program, RowBlock
from mapc.program.records import ALWAYS, NO_COLUMN

__all__ = ["ALWAYS", "NO_COLUMN", "Block", "Matrix", "Program", "RowBlock"]
