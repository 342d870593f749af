"""Views of plan files, of results, and of what goes beside them: fronts and comparisons."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapc import instances
from mapc.errors import InfeasibleError, InstanceError, UsageError
from mapc.files import MAX_TEXT_BYTES, STREAM, display_name, read_bytes
from mapc.models import family_of
from mapc.models.base import Family, Verdict, aimed, phrase_of
from mapc.models.fronts import Front
from mapc.solvers.result import Result
from mapc.visual.recorded import record_from
from mapc.visual.view import Record, View, record_of

Document = Mapping[str, Any]

_COLUMNS = {"loss", "traffic", "bits_per_weight", "budget", "bound", "gap", "status", "least"}


def load(path: str | Path, front: str | None = None, comparison: str | None = None) -> View:
    """Read a plan file, and what may be shown beside it.

    Parameters
    ----------
    path : path
        Of ``mapc solve -o``; also a CSV of buffers with offsets.
    front : path, optional
        Of ``mapc solve --front -o FILE.json``.
    comparison : path, optional
        What ``mapc compare --json`` printed.

    Raises
    ------
    InstanceError
        For a file that is not what it is taken for, or of another family or instance.
    """
    return load_all([path], front, comparison)[0]


def load_all(
    paths: Sequence[str | Path], front: str | None = None, comparison: str | None = None
) -> list[View]:
    """Read several plan files; what is shown beside them is read once, and has to fit each.

    Raises
    ------
    InstanceError
        As `load` does.
    """
    views = [_read(path) for path in paths]
    if front is not None:
        found = _object(front)
        views = [replace(view, front=_front(found, front, view)) for view in views]
    if comparison is not None:
        found = _object(comparison)
        views = [replace(view, comparison=_comparison(found, comparison, view)) for view in views]
    return views


def _read(path: str | Path) -> View:
    try:
        problem, plan, info = instances.read_plan(path)
    except InstanceError:
        _refuse_companion(path)
        raise
    view = of_plan(problem, plan, record_from(info.result), display_name(path))
    return replace(view, plan_file=carrier(path))


def carrier(path: str | Path | None) -> str:
    """Return the path of a plan file that can be solved again; empty for other places.

    A stream cannot be read twice, and a CSV of buffers does not say their capacity.
    """
    name = "" if path is None else str(path)
    return "" if name == STREAM or name.lower().endswith(".csv") else name


def of_plan(problem: Any, plan: Any, record: Record, label: str) -> View:
    """Return the view of a plan, replayed by the verifier; without a plan, of the problem alone.

    What the run was asked to minimise decides what the objective is.
    """
    family, asked = _goal(problem, record)
    facts: dict[str, Any] = dict(family_of(problem).facts(problem))
    verdict = Verdict((), None, {}) if plan is None else family.verify(asked, plan)
    facts |= verdict.facts
    return View(
        label=label,
        kind=family.kind,
        problem=problem,
        plan=plan,
        record=record,
        objective=verdict.objective,
        facts=facts,
        violations=verdict.violations,
        phrase=phrase_of(family, asked),
    )


def of_result(problem: Any, result: Result, label: str = "") -> View:
    """Return the view of what `mapc.solve` returned for a problem."""
    return of_plan(problem, result.plan, record_of(result), label)


def _goal(problem: Any, record: Record) -> tuple[Family, Any]:
    """Return the family as the run was asked, and the problem it saw."""
    minimize = record.asked.get("minimize")
    try:
        return aimed(family_of(problem), problem, minimize if isinstance(minimize, str) else None)
    except UsageError:  # a file may say anything
        return family_of(problem), problem


# -- beside a plan -------------------------------------------------------------------------------


def _front(document: dict[str, Any], path: str, view: View) -> Document:
    """Return a front for the problem of a view: its document, columns as equally long lists."""
    where = display_name(path)
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    lists.pop("notes", None)
    costs = lists.get("cost")
    if not costs or len({len(value) for value in lists.values()}) != 1:
        raise InstanceError(
            "no columns of a front", where, "a file of mapc solve --front -o FILE.json"
        )
    for name in sorted(_COLUMNS & document.keys() - lists.keys()):
        raise InstanceError("no column", f"{where}: $.{name}", f"a list of {len(costs)}")
    _same("kind", document.get("kind"), view.kind, where)
    _same("name", document.get("name"), view.facts.get("name"), where)
    for name, values in lists.items():
        if name != "format" and not all(_is_cell(value) for value in values):
            raise InstanceError("no number, text or null", f"{where}: $.{name}", "a front's column")
    if not all(isinstance(value, int | float) for value in costs):
        raise InstanceError("a cost that is no number", f"{where}: $.cost", "numbers")
    return document


def _refuse_companion(path: str | Path) -> None:
    """Say of a front or a comparison that was taken for a plan where it belongs."""
    if str(path) == STREAM:  # read already
        return
    try:
        document = _object(str(path))
    except InstanceError:
        return
    for keys, what, option in (
        ({"resource", "points", "cost"}, "a front", "--front"),
        ({"best", "methods"}, "a comparison of methods", "--comparison"),
    ):
        if keys <= document.keys():
            raise InstanceError(
                f"{what}, not a plan", display_name(path), f"a plan file, and {option} for this one"
            )


def _comparison(document: dict[str, Any], path: str, view: View) -> tuple[Document, ...]:
    """Return the methods of a comparison on the instance of a view, one mapping each."""
    where = display_name(path)
    methods = document.get("methods")
    good = isinstance(methods, list) and all(
        isinstance(one, dict) and isinstance(one.get("method"), str) for one in methods
    )
    if not good or not isinstance(methods, list):
        raise InstanceError("no list of methods", f"{where}: $.methods", "mapc compare --json")
    _same("kind", document.get("kind"), view.kind, where)
    hash_ = instances.content_hash(view.problem)
    _same("instance_sha256", document.get("instance_sha256"), hash_, where)
    return tuple(methods)


def _object(path: str) -> dict[str, Any]:
    where = display_name(path)
    try:
        data = read_bytes(path, MAX_TEXT_BYTES)
        document = json.loads(data, parse_constant=_refuse, parse_int=_int, parse_float=_float)
    except OverflowError:
        raise InstanceError("a number beyond 1e308", where, "a file that mapc wrote") from None
    except (ValueError, RecursionError):
        raise InstanceError("no JSON document", where, "a file that mapc wrote") from None
    if not isinstance(document, dict):
        raise InstanceError("no JSON object", where, "a file that mapc wrote")
    return document


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _int(digits: str) -> int:
    _float(digits)
    return int(digits)


def _float(digits: str) -> float:
    """Return a number; pictures have none that no float comes near."""
    value = float(digits)
    if math.isinf(value):
        raise OverflowError
    return value


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def _same(key: str, found: Any, expected: Any, where: str) -> None:
    if found != expected:
        raise InstanceError(
            f"{str(found)[:80]!r} is not of this plan", f"{where}: $.{key}", expected
        )


def front_of(front: Front) -> Document:
    """Return what a file of a front would say of it, but for its seconds."""
    head = {"resource": front.resource, "unit": front.unit, "points": front.kind}
    return {**head, "notes": list(front.notes), **front.columns}


def comparison_of(results: Mapping[str, Result]) -> tuple[Document, ...]:
    """Return what ``mapc compare --json`` would say of every method."""
    return tuple({**one.to_dict(), "method": name} for name, one in results.items())


def failed(problem: Any, error: Exception, asked: Mapping[str, Any]) -> Result:
    """Return the result of a run that ended in an exception; what was not asked for is None."""
    from mapc.solvers.base import Status
    from mapc.versions import versions

    kind = family_of(problem).kind
    if isinstance(error, InfeasibleError):
        status, reason = Status.INFEASIBLE, str(error)
    else:
        status, reason = Status.UNKNOWN, f"failed: {type(error).__name__}: {error}"
    given = {name: value for name, value in asked.items() if value is not None}
    return Result(kind, status, reason=reason, asked=given, versions=versions())


def together(views: Sequence[View]) -> None:
    """Refuse plans that have no page in common.

    Raises
    ------
    UsageError
    """
    kinds = sorted({view.kind for view in views})
    if len(kinds) > 1:
        raise UsageError(f"plans of {' and '.join(kinds)}: expected plans of one family")
