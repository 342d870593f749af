"""What the gate asks of an instance: set from what one run without a clock has reached.

A run without a clock repeats itself, so its own values could be the limits. A margin of half a
percent, or of one unit where that is more, lets through what a change of a method shifts by chance;
what is proven has none. Sizes of models are counted, and have no margin either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from mapc.errors import CheckError, MapcError
from mapc.quality.index import Gate, Number, Size

MARGIN: Final = 0.005
"""Part of an objective or a bound by which a later run may be worse."""
ROUNDING: Final = 1e-9
"""Part of a fractional objective that sums in another order may differ by."""
MAX_ROWS: Final = 100_000
"""Rows or columns above which a formulation is not kept count of, unless it is named."""
MAX_AGREED: Final = 500
"""Nonzeros above which backends are not asked to agree, unless that is asked for."""
AGREEMENT_WORK: Final = 0.5
"""Units of work for each backend that is asked to agree; thousands of nodes for some."""
AGREEMENT: Final = 1e-6
"""Relative difference of two optima that is rounding."""
BACKENDS: Final = ("highs", "cpsat")


def gate_of(
    result: Any,
    models: Mapping[str, Size] | None = None,
    agree: Mapping[str, Sequence[str]] | None = None,
) -> Gate:
    """Return what later runs have to reach, after one that ended like this.

    Parameters
    ----------
    result : Result
        Of a run without a clock.
    models, agree : mapping, optional
        As `model_sizes` and `agreement` return them.
    """
    proven = result.status.value in ("optimal", "infeasible")
    without = result.status.value == "infeasible"
    return Gate(
        objective=ceiling(result.objective, proven),
        # where there is no plan, a bound of plans says nothing
        bound=None if without else floor(result.bound, proven),
        proven=proven,
        models=dict(models or {}),
        agree={name: tuple(backends) for name, backends in (agree or {}).items()},
    )


def ceiling(objective: Number | None, proven: bool) -> Number | None:
    """Return the dearest plan that will do; None where the run had none."""
    if objective is None:
        return None
    return objective + _allowance(objective, proven)


def floor(bound: Number | None, proven: bool) -> Number | None:
    """Return the lowest bound that will do; None where the run had none."""
    if bound is None:
        return None
    return bound - _allowance(bound, proven)


def _allowance(value: Number, proven: bool) -> Number:
    if isinstance(value, int):
        return 0 if proven else max(1, math.floor(MARGIN * abs(value)))
    return (ROUNDING if proven else MARGIN) * abs(value)


# -- models ----------------------------------------------------------------------------------------


def model_sizes(problem: Any, names: Iterable[str] | None = None) -> dict[str, Size]:
    """Return rows, columns and nonzeros of formulations.

    Parameters
    ----------
    problem : problem of any family
    names : iterable of str, optional
        Formulations; by default all that take such a problem and stay below `MAX_ROWS`.

    Raises
    ------
    MapcError
        If a formulation that is named does not take the problem.
    """
    from mapc.models import family_of

    found = {}
    for name in family_of(problem).formulations if names is None else names:
        size = _size(problem, name, refuse=names is not None)
        if size is not None and (names is not None or max(size.rows, size.columns) <= MAX_ROWS):
            found[name] = size
    return found


def _size(problem: Any, name: str, refuse: bool) -> Size | None:
    from mapc import api

    try:
        program, _ = api.lower(problem, name)
    except MapcError:
        if refuse:
            raise
        return None
    counts = program.statistics()
    return Size(rows=counts["rows"], columns=counts["columns"], nonzeros=counts["nonzeros"])


def small(size: Size) -> bool:
    """Whether every backend can be asked for the optimum of such a model."""
    return size.nonzeros <= MAX_AGREED


def agreement(
    problem: Any,
    names: Iterable[str],
    backends: Sequence[str] = BACKENDS,
    seed: int = 0,
    solve: Callable[..., Any] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Return, for each formulation, the backends that prove its optimum with little work.

    Parameters
    ----------
    problem : problem of any family
    names : iterable of str
        Formulations.
    backends : sequence of str
    seed : int
    solve : callable, optional
        In place of `mapc.solvers.registry.solve`.

    Raises
    ------
    CheckError
        If two of them prove different optima.
    """
    from mapc import api
    from mapc.solvers import registry
    from mapc.solvers.base import Limits

    ask = registry.solve if solve is None else solve
    limits = Limits(
        deterministic=AGREEMENT_WORK, nodes=int(AGREEMENT_WORK * 1_000), workers=1, seed=seed
    )
    found = {}
    for name in names:
        program, _ = api.lower(problem, name)
        answers = {one: ask(program, one, limits=limits) for one in backends}
        proven = {one: _optimum(answer) for one, answer in answers.items() if _proven(answer)}
        _check_agreement(name, proven)
        if len(proven) > 1:
            found[name] = tuple(proven)
    return found


def _proven(answer: Any) -> bool:
    return answer.status.value in ("optimal", "infeasible")


def _optimum(answer: Any) -> float:
    return math.inf if answer.objective is None else float(answer.objective)


def _check_agreement(name: str, optima: Mapping[str, float]) -> None:
    if not optima:
        return
    low, high = min(optima.values()), max(optima.values())
    # two infinities agree; their difference is no number
    if low != high and not high - low <= AGREEMENT * max(1.0, abs(low)):
        said = ", ".join(f"{one} {value:.12g}" for one, value in optima.items())
        raise CheckError(f"formulation {name}: backends prove different optima: {said}")
