"""The five verbs: read, solve, check, write, lower. They serve every family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from mapc.errors import UsageError
from mapc.models import family_of
from mapc.program.model import Program
from mapc.solvers.base import OnEvent, Solution
from mapc.solvers.result import Result

Path = str | PathLike[str]


def read(
    path: Path,
    *,
    scratchpad: str | int | None = None,
    dtype: str | None = None,
    fuse: bool = False,
    weights: bool = False,
    alignment: int | None = None,
    dims: Mapping[str, int] | None = None,
) -> Any:
    """Read a problem: an ONNX model, an operator graph, buffer lifetimes or an instance file.

    Parameters
    ----------
    path : path
        ``.onnx``, ``.json`` (instance, or plain operator graph) or ``.csv`` (minimalloc).
    scratchpad : str or int, optional
        Capacity: bytes, a size such as ``"1568KiB"``, or ``"M_R"``, ``"M_H"``, ``"M_P"``.
    dtype : str, optional
        Element type all tensors are counted in, e.g. ``"int8"`` (ONNX).
    fuse : bool
        Merge single-consumer elementwise operators into their producers (ONNX).
    weights : bool
        Count parameters as tensors to load (ONNX).
    alignment : int, optional
        Bytes to which addresses and sizes are rounded.
    dims : mapping, optional
        Values of symbolic dimensions (ONNX), e.g. ``{"batch": 1}``.

    Raises
    ------
    InstanceError
        For a file that cannot be read as what it claims to be.
    UsageError
        For an option that does not apply, or a size that is none.
    """
    from mapc import instances

    problem = instances.read(
        fspath(path), dtype=dtype, fuse=fuse, weights=weights, alignment=alignment, dims=dims
    )
    if scratchpad is None:
        return problem
    return family_of(problem).with_capacity(problem, scratchpad)


def solve(
    problem: Any,
    *,
    time_limit: float | None = 60.0,
    gap: float = 0.0,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    workers: int = 1,
    memory_limit: int | None = None,
    backends: Sequence[str] | None = None,
    on_event: OnEvent | None = None,
) -> Result:
    """Solve a problem: bounds, heuristics, exact methods, until the gap is closed or time is up.

    Parameters
    ----------
    problem : problem of any family
    time_limit : float or None
        Seconds of wall time. None: no clock; every method stops after counted work, and the same
        seed gives the same answer on any machine.
    gap : float
        Relative gap that is good enough; 0 asks for proof.
    methods : sequence of str, optional
        Names of the methods to run; all default ones when omitted.
    seed : int
    workers : int
        Threads for each solver.
    memory_limit : int, optional
        Bytes each solver process may allocate.
    backends : sequence of str, optional
        Solvers to use, in this order, instead of the family's own choice: ``"highs"``,
        ``"cpsat"``, ``"pyomo:scip"``, or ``"module:function"`` for one of your own. An empty
        sequence means no solver at all.
    on_event : callable, optional
        Receives every `Event` as it happens.

    Returns
    -------
    Result
        With the best plan that passed the verifier; Ctrl-C returns it as well.
    """
    from mapc.solvers.portfolio import Portfolio

    if time_limit is not None and not time_limit > 0:
        raise UsageError(f"time limit {time_limit}: expected seconds > 0, or None")
    if not gap >= 0:
        raise UsageError(f"gap {gap}: expected a fraction >= 0")
    if workers < 1:
        raise UsageError(f"workers {workers}: expected at least 1")
    run = Portfolio(
        family_of(problem),
        problem,
        time_limit=time_limit,
        gap=gap,
        seed=seed,
        workers=workers,
        memory_limit=memory_limit,
        backends=backends,
        on_event=on_event,
    )
    return run.run(methods)


def check(problem: Any, plan: Any) -> list[str]:
    """Replay a plan; return the rules it breaks, one line each, or an empty list."""
    return list(family_of(problem).verify(problem, plan).violations)


def lower(
    problem: Any, formulation: str | None = None, **options: Any
) -> tuple[Program, Callable[[Solution], Any]]:
    """Lower a problem into an optimisation model.

    Parameters
    ----------
    problem : problem of any family
    formulation : str, optional
        One of the family's formulations; its first one when omitted.
    **options
        What the formulation takes, e.g. ``order`` for ``"gap"``.

    Returns
    -------
    Program, lift
        ``lift(solution)`` turns a solution of the program into a plan.
    """
    formulations = family_of(problem).formulations
    name = formulation or next(iter(formulations))
    if name not in formulations:
        raise UsageError(f"formulation {name!r}: unknown; expected {', '.join(formulations)}")
    return formulations[name].lower(problem, **options)


def write(thing: Any, path: Path, *, problem: Any = None, result: Result | None = None) -> None:
    """Write a problem, a plan (with its problem) or a program to a file, whole or not at all.

    A `Program` goes to ``.mps``, ``.lp`` or ``.pb``; an allocation also to ``.csv``.
    """
    from mapc import instances
    from mapc.program.write import write_model

    if isinstance(thing, Program):
        write_model(thing, fspath(path))
    elif isinstance(thing, Result):
        if thing.plan is None or problem is None:
            raise UsageError("a result is written with its plan and problem=...")
        instances.write_plan(problem, thing.plan, fspath(path), result=thing.to_dict())
    elif problem is not None:
        info = None if result is None else result.to_dict()
        instances.write_plan(problem, thing, fspath(path), result=info)
    else:
        instances.write_instance(thing, fspath(path))
