"""mapc, a mapping compiler.

It lowers a graph of DNN operators and the devices they run on into an optimisation model, solves
it, and returns a verified plan with a proven bound::

    problem = mapc.read("model.onnx", scratchpad="1568KiB", dtype="int8")
    result = mapc.solve(problem, time_limit=30)
    mapc.write(result, "plan.json", problem=problem)

Names are loaded on first use, so that ``import mapc`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mapc.api import (
        check,
        compare,
        export,
        front,
        generate,
        lower,
        plot,
        read,
        report,
        solve,
        with_budgets,
        with_rules,
        write,
    )
    from mapc.errors import (
        CheckError,
        InfeasibleError,
        InstanceError,
        MapcError,
        UnavailableError,
        UsageError,
    )
    from mapc.planner import Cluster, Planner, Step
    from mapc.solvers.base import Event, Status
    from mapc.solvers.result import Result

__version__ = "0.1.0"

__all__ = [
    "CheckError",
    "Cluster",
    "Event",
    "InfeasibleError",
    "InstanceError",
    "MapcError",
    "Planner",
    "Result",
    "Status",
    "Step",
    "UnavailableError",
    "UsageError",
    "__version__",
    "check",
    "compare",
    "export",
    "front",
    "generate",
    "lower",
    "plot",
    "read",
    "report",
    "solve",
    "with_budgets",
    "with_rules",
    "write",
]

_HOMES = {
    "mapc.api": (
        "check",
        "compare",
        "export",
        "front",
        "generate",
        "lower",
        "plot",
        "read",
        "report",
        "solve",
        "with_budgets",
        "with_rules",
        "write",
    ),
    "mapc.planner": ("Cluster", "Planner", "Step"),
    "mapc.solvers.base": ("Event", "Status"),
    "mapc.solvers.result": ("Result",),
    "mapc.errors": tuple(name for name in __all__ if name.endswith("Error")),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mapc' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
