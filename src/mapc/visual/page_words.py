"""What a report says of a run in words: its verdict, its figures, how to do it again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from mapc.markup import clean
from mapc.solvers.base import Number, relative_gap
from mapc.visual.view import View
from mapc.visual.words import words

GOOD, PLAIN, BAD = "good", "plain", "bad"
"""How a verdict is coloured."""

_UNITS: Final = (("_bytes", "bytes"), ("_share", "share"), ("_ms", "ms"), ("_seconds", "s"))
_LABELS: Final = {"m_r": "M_R", "m_p": "M_P", "m_h": "M_H"}
_ITEMS: Final = 8


def short(views: Sequence[View]) -> list[str]:
    """Return what to call plans beside each other: file names without folders, where they differ.

    Those that are called alike are numbered.
    """
    labels = [clean(view.label, 400) or "plan" for view in views]
    files = [PurePath(label).name or label for label in labels]
    names = files if len(set(files)) == len(set(labels)) else labels
    if len(set(names)) == len(names):
        return names
    return [f"{i}: {name}" for i, name in enumerate(names, start=1)]


def said(view: View, value: Number | None) -> str:
    """Return an objective value in the words of its family."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return words(None)
    try:
        return view.phrase(value)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return words(value)


def verdict(view: View) -> tuple[str, str, str]:
    """Return what came out: a word, the rest of the sentence, and `GOOD`, `PLAIN` or `BAD`."""
    record, objective = view.record, view.objective
    interrupted = "interrupted, " if record.interrupted else ""
    reason = f": {record.reason}" if record.reason else ""
    if view.violations:
        count = len(view.violations)
        return "invalid", f": the plan breaks {count} rule{'s' if count > 1 else ''}", BAD
    if record.status == "infeasible":
        return "infeasible", f"{reason or ': no plan exists'}", BAD
    if view.plan is None:
        return f"{interrupted}no plan", reason or ": none was found", BAD
    if objective is None:
        return "unknown", ": what the plan comes to cannot be told", BAD
    if record.status == "optimal" and not differs(view) and not impossible(view):
        return "optimal", f": {said(view, objective)}; no plan can have less", GOOD
    if not record.status:
        return "valid", f": {said(view, objective)}; nothing is known of the run", PLAIN
    return f"{interrupted}feasible", f": {said(view, objective)}{_above(view)}", PLAIN


def _above(view: View) -> str:
    """Return how far a plan may be from the best, as far as that is known."""
    bound, objective = view.bound, view.objective
    if bound is None or objective is None or not math.isfinite(bound):
        return "; how far from the best is not known"
    if impossible(view):
        return "; the bound in the file is above that and cannot hold"
    if objective <= bound:
        return "; no plan can have less"
    if bound <= 0:
        return f"; no plan can have less than {said(view, bound)}"
    return f", at most {words((objective - bound) / bound, 'share')} above the best possible"


def differs(view: View) -> bool:
    """Return whether the objective in the file is another than that of the verifier."""
    told, found = view.record.objective, view.objective
    if told is None or found is None:
        return False
    return abs(told - found) > 1e-9 * max(1.0, abs(told), abs(found))


def impossible(view: View) -> bool:
    """Return whether the bound in the file is above what the plan comes to."""
    bound, objective = view.bound, view.objective
    if view.violations or bound is None or objective is None or not math.isfinite(bound):
        return False
    return bound - objective > 1e-6 * max(1.0, abs(bound), abs(objective))


def gap(view: View) -> float | None:
    """Return the relative gap between the verified objective and the bound of the run."""
    return relative_gap(view.objective, view.bound)


def tiles(view: View) -> list[tuple[str, str, str]]:
    """Return the main figures of a run: label, value, and what is small below it."""
    record = view.record
    by = f"by {record.bound_method}" if record.bound_method and view.bound is not None else ""
    return [
        ("objective", said(view, view.objective), ""),
        ("bound", said(view, view.bound), by),
        ("gap", words(gap(view), "share"), ""),
        ("status", record.status or "unknown", "interrupted" if record.interrupted else ""),
        ("method", record.method or words(None), ""),
        ("seconds", words(record.seconds), ""),
    ]


def again(view: View) -> str:
    """Return the command that solves the problem of a plan file as the run did."""
    asked = view.record.asked
    parts = ["mapc", "solve", clean(view.label, 4_000) or "plan.json"]
    if "time_limit" in asked:
        limit = asked["time_limit"]
        parts += ["--time-limit", "none" if limit is None else _short(limit)]
    if asked.get("gap"):
        parts += ["--gap", _short(asked["gap"])]
    for option in ("seed", "workers"):
        if asked.get(option) is not None:
            parts += [f"--{option}", _short(asked[option])]
    methods = asked.get("methods")
    for method in methods if isinstance(methods, list | tuple) else ():
        parts += ["--method", _short(method)]
    if asked.get("memory_limit") is not None:
        parts += ["--memory-limit", _short(asked["memory_limit"])]
    if asked.get("minimize") is not None:
        parts += ["--minimize", _short(asked["minimize"])]
    return shlex.join(parts)


def _short(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return clean(value)


def facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return figures with labels as people say them: ``peak_bytes`` in bytes, and so on."""
    found = []
    for key, value in values.items():
        label, unit = label_of(str(key))
        found.append((label, told(value, unit)))
    return found


def label_of(key: str) -> tuple[str, str]:
    """Return what a figure is called, and its unit.

    >>> label_of("peak_bytes"), label_of("m_r_bytes")
    (('peak', 'bytes'), ('M_R', 'bytes'))
    """
    unit = ""
    for ending, meant in _UNITS:
        if key.endswith(ending):
            key, unit = key.removesuffix(ending), meant
    return _LABELS.get(key, key.replace("_", " ")), unit


def told(value: Any, unit: str = "") -> str:
    """Return a value of any kind in words; of long lists the beginning."""
    if isinstance(value, Mapping):
        items = [f"{clean(key)}: {told(item, unit)}" for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [told(item, unit) for item in value]
    elif isinstance(value, bool | int | float | str) or value is None:
        return words(value, unit)
    else:
        plain = getattr(value, "tolist", None)
        return words(str(value)) if plain is None else told(plain(), unit)
    if not items:
        return "none"
    rest = len(items) - _ITEMS
    return "; ".join(items[:_ITEMS]) + (f"; and {rest:,} more" if rest > 0 else "")
