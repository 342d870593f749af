"""mapc, a mapping compiler.

It lowers a graph of DNN operators and the devices they run on into an optimisation model, solves
it, and returns a verified plan with a proven bound::

    problem = mapc.read("model.onnx", scratchpad="1568KiB", dtype="int8")
    result = mapc.solve(problem, time_limit=30)
    mapc.write(result, "plan.json", problem=problem)
"""

from mapc.api import check, lower, read, solve, write
from mapc.errors import (
    CheckError,
    InfeasibleError,
    InstanceError,
    MapcError,
    UnavailableError,
    UsageError,
)
from mapc.solvers.base import Event, Status
from mapc.solvers.result import Result

__version__ = "0.1.0"

__all__ = [
    "CheckError",
    "Event",
    "InfeasibleError",
    "InstanceError",
    "MapcError",
    "Result",
    "Status",
    "UnavailableError",
    "UsageError",
    "__version__",
    "check",
    "lower",
    "read",
    "solve",
    "write",
]
