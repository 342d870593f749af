"""The five verbs: read, solve, check, write, lower. They serve every family.

Beside them stand `generate` and `export`: what ``read`` and ``write`` are for files of mapc, they
are for seeded instances and for the files of runtimes. `compare` solves by one method after the
other. `report` and `plot` draw plans. `with_budgets` sets what ``read`` takes as ``budgets`` on a
problem that is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from os import fspath
from typing import TYPE_CHECKING, Any

from mapc.errors import CheckError, UsageError
from mapc.models import family_of
from mapc.models.base import aimed
from mapc.models.fronts import Front, Sweeper
from mapc.problems import BUDGETED, Path, generate, read, with_budgets, with_rules
from mapc.program.model import Program
from mapc.solvers.base import OnEvent, Solution
from mapc.solvers.result import Result

if TYPE_CHECKING:
    from mapc.visual.report import Report

__all__ = [
    "BUDGETED",
    "FRONTS",
    "check",
    "check_front",
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


def solve(
    problem: Any,
    *,
    minimize: str | None = None,
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
    minimize : str, optional
        Another objective than the family's own: ``"peak"`` (memory, allocation), the smallest
        capacity, of a memory problem that without extra cost. The problem's own plays no part.
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
        With the best plan that passed the verifier; Ctrl-C returns it as well. A problem that has
        no plan has the status ``infeasible``, and why in ``reason``.

    Raises
    ------
    UsageError
        For methods, backends or an objective that there are not, limits that are none, and a
        problem that leaves something open, such as its capacity.
    """
    from mapc.solvers.portfolio import Portfolio

    if time_limit is not None and not time_limit > 0:
        raise UsageError(f"time limit {time_limit}: expected seconds > 0, or None")
    if not gap >= 0:
        raise UsageError(f"gap {gap}: expected a fraction >= 0")
    if workers < 1:
        raise UsageError(f"workers {workers}: expected at least 1")
    family, problem = aimed(family_of(problem), problem, minimize)
    run = Portfolio(
        family,
        problem,
        time_limit=time_limit,
        gap=gap,
        seed=seed,
        workers=workers,
        memory_limit=memory_limit,
        backends=backends,
        on_event=on_event,
        minimize=minimize,
    )
    return run.run(methods)


def front(
    problem: Any,
    *,
    points: int | str | None = None,
    gap: float = 0.0,
    time_limit: float | None = 60.0,
    seed: int = 0,
    workers: int = 1,
    memory_limit: int | None = None,
    backends: Sequence[str] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Front:
    """Return the best objective against the one resource there is.

    Of a bits problem the loss against the one budget; of a memory problem the extra traffic against
    the capacity, each point with its bound.

    Parameters
    ----------
    problem : BitsProblem or MemoryProblem
    points : int, str or None
        How many amounts of the resource to ask for, evenly spread; ``"all"``: every point; None:
        of bits all supported points, of memory every point.
    gap : float
        Relative gap that is good enough.
    time_limit : float or None
        Seconds of wall time for all of it; a memory front comes as far as it gets.
    seed, workers, memory_limit, backends
        As for `solve`.
    on_step : callable, optional
        Receives a line after every capacity.

    Raises
    ------
    UsageError
        For a family without fronts, and problems with no one resource to sweep.
    FrontError
        If every point is asked for and there are too many.
    """
    from mapc.solvers.portfolio import Sweeps

    check_front(problem)
    if not gap >= 0:
        raise UsageError(f"gap {gap}: expected a fraction >= 0")
    options = {"seed": seed, "workers": workers, "memory_limit": memory_limit, "backends": backends}
    sweep = Sweeps(gap, time_limit, options, on_step)
    sweeper: Sweeper = import_module(FRONTS[family_of(problem).kind]).front
    return sweeper(problem, points, sweep)


FRONTS = {"bits": "mapc.models.bits.sweep", "memory": "mapc.models.memory.front"}
"""Families with fronts, and the modules with their ``front(problem, points, sweep)``."""


def check_front(problem: Any) -> None:
    """Refuse a problem of a family without fronts."""
    kind = family_of(problem).kind
    if kind not in FRONTS:
        raise UsageError(
            f"--front does not apply to {kind} problems; expected one of {', '.join(FRONTS)}"
        )


def compare(
    problem: Any,
    *,
    time_limit: float | None = 10.0,
    methods: Sequence[str] | None = None,
    on_method: Callable[[str], None] | None = None,
    **options: Any,
) -> dict[str, Result]:
    """Run every method of a family on one problem, each of them alone.

    Parameters
    ----------
    problem : problem of any family
    time_limit : float or None
        Seconds for each method; None: no clock.
    methods : sequence of str, optional
        Names of the methods to compare; all when omitted, also those that run only when asked for.
    on_method : callable, optional
        Receives the name of every method before it runs.
    **options
        As for `solve`.

    Returns
    -------
    dict of str to Result
        In the family's order. A method that fails has the reason in its result; one that is not
        for such problems has neither plan nor bound. After Ctrl-C the rest is missing.
    """
    from mapc.solvers.base import Status
    from mapc.solvers.portfolio import choose
    from mapc.solvers.result import Result

    family = family_of(problem)
    known = [method.name for method in family.methods]
    found: dict[str, Result] = {}
    for method in choose(family, known if methods is None else methods):
        if on_method is not None:
            on_method(method.name)
        try:
            result = solve(problem, time_limit=time_limit, methods=[method.name], **options)
        except UsageError:  # the problem leaves something open, for every method
            raise
        except Exception as error:  # one broken method must not cost the table
            reason = f"failed: {type(error).__name__}: {error}"
            result = Result(family.kind, Status.UNKNOWN, reason=reason)
        found[method.name] = result
        if result.interrupted:
            break
    return found


def check(problem: Any, plan: Any) -> list[str]:
    """Replay a plan; return the rules it breaks, one line each, or an empty list."""
    return list(family_of(problem).verify(problem, plan).violations)


def export(problem: Any, plan: Any, to: str, **options: Any) -> str | bytes:
    """Return a plan as the file that a runtime loads.

    Parameters
    ----------
    problem, plan : of one family
    to : str
        A key of `mapc.deploy.EXPORTERS`, e.g. ``"llamacpp"``.
    **options
        What the exporter takes.

    Returns
    -------
    str or bytes
        What belongs in the file: text, or bytes for a binary one (``"eplb"``).

    Raises
    ------
    CheckError
        If the plan breaks a rule.
    UsageError
        For a runtime that is unknown or takes no such plans, and for options and formats that it
        does not take.
    """
    from mapc.deploy import EXPORTERS

    kind = family_of(problem).kind
    if to not in EXPORTERS or kind not in EXPORTERS[to].kinds:
        right = ", ".join(name for name, one in EXPORTERS.items() if kind in one.kinds)
        what = "unknown" if to not in EXPORTERS else f"takes no {kind} plans"
        raise UsageError(f"runtime {to!r}: {what}; expected {right or f'none: {kind} has none'}")
    violations = check(problem, plan)
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise CheckError(f"not exported, the plan breaks a rule: {violations[0]}{more}")
    return EXPORTERS[to](problem, plan, **options)


def report(
    problem: Any,
    *results: Any,
    labels: Sequence[str] | None = None,
    front: Front | None = None,
    comparison: Mapping[str, Result] | None = None,
) -> Report:
    """Draw results, or plans, for a problem: one self-contained HTML document.

    Parameters
    ----------
    problem : problem of any family
    *results : Result or plan
        Several are shown side by side. A result without a plan says why.
    labels : sequence of str, optional
        What to call each of them.
    front : Front, optional
        Of `front`, to draw beside the plan.
    comparison : dict of str to Result, optional
        Of `compare`.

    Returns
    -------
    Report
        ``.write(path)`` saves it; in a notebook it shows itself.

    Raises
    ------
    UsageError
        For no results, or labels that are not one for each.
    """
    from mapc.visual import report as visual

    return visual.of(problem, results, labels, front, comparison)


def plot(
    problem: Any,
    result: Any,
    path: Path,
    figure: str | None = None,
    *,
    front: Front | None = None,
    comparison: Mapping[str, Result] | None = None,
    **options: Any,
) -> None:
    """Draw one picture of a result, or a plan, for a paper; needs the extra ``plots``.

    Parameters
    ----------
    problem : problem of any family
    result : Result or plan
    path : path
        ``.pdf``, ``.png`` or ``.svg``.
    figure : str, optional
        Key of the figure, e.g. ``"live-bytes"``; the family's first one when omitted.
    front, comparison
        As for `report`.
    **options
        ``width`` and ``height`` in inches, ``dpi``, ``title`` (bool).

    Raises
    ------
    UsageError
        For a figure or a kind of file that there is not, and sizes that are none.
    UnavailableError
        Without matplotlib.
    """
    from mapc.visual import plots
    from mapc.visual import report as visual

    (view,) = visual.views_of(problem, [result], [""], front, comparison)
    plots.plot(view, fspath(path), figure, **options)


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

    Raises
    ------
    UsageError
        For a formulation that the family has not, or one that is not for such a problem.
    """
    formulations = family_of(problem).formulations
    name = formulation or next(iter(formulations))
    if name not in formulations:
        raise UsageError(f"formulation {name!r}: unknown; expected {', '.join(formulations)}")
    return formulations[name].lower(problem, **options)


def write(thing: Any, path: Path, *, problem: Any = None, result: Result | None = None) -> None:
    """Write a problem, a plan (with its problem) or a program to a file, whole or not at all.

    A `Program` goes to ``.mps``, ``.lp`` or ``.pb``; an allocation also to ``.csv``.

    Parameters
    ----------
    thing : problem, plan, Result or Program
    path : path
    problem : problem, optional
        Of a plan or a `Result`, which needs it.
    result : Result, optional
        The run that found a plan, for the plan file to keep.

    Raises
    ------
    UsageError
        For a result without plan or problem, and for a file that cannot be written.
    """
    from mapc import instances
    from mapc.program.write import write_model

    if isinstance(thing, Program):
        write_model(thing, fspath(path))
    elif isinstance(thing, Result):
        if thing.plan is None or problem is None:
            raise UsageError("a result is written with its plan and problem=...")
        instances.write_plan(problem, thing.plan, fspath(path), result=thing.record())
    elif problem is not None:
        info = None if result is None else result.record()
        instances.write_plan(problem, thing, fspath(path), result=info)
    else:
        instances.write_instance(thing, fspath(path))
