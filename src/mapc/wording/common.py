"""Figures in words: rows of a table from what families and results say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mapc.units import format_bytes

if TYPE_CHECKING:
    from mapc.solvers.result import Result

Rows = list[tuple[str, str]]
"""Labels and values."""

_LABELS = {
    "compulsory": "compulsory traffic",
    "spilled": "spill writes",
    "reloaded": "reloads",
    "peak": "peak used",
    "m_r": "M_R",
    "m_p": "M_P",
    "given_order_peak": "given order's peak",
    "max_load": "largest load",
    "sha256": "SHA-256",
}
_UNITS = (("_bytes", "bytes"), ("_share", "share"), ("_ms", "ms"), ("_seconds", "s"))
_QUANTITY = re.compile(r"-?\d\S*(?: (?:[KMGTPE]iB|B|ms|us|s|units)(?!\S))?")
"""Short units stay with their number; ``balanced layers`` would fill a column."""
_FIRST = ("compulsory", "spilled", "reloaded")
"""Figures that belong right below the objective, by stem."""


def result_rows(result: Result) -> Rows:
    """Return what a person wants to know about a result, most important first."""
    rows = [("status", _status(result))]
    if result.objective is not None:
        rows.append(("objective", result.phrase(result.objective)))
    facts = fact_rows(result.facts)
    first = [label(stem) for stem in _FIRST]
    rows += [row for row in facts if row[0] in first]
    if result.bound is not None:
        by = f", by {result.bound_method}" if result.bound_method else ""
        rows.append(("bound", f"{brief(result.phrase(result.bound))}{by}"))
    if result.gap is not None:
        rows.append(("gap", percent(result.gap)))
    rows += [row for row in facts if row[0] not in first]
    if result.method:
        rows.append(("method", result.method))
    rows.append(("seconds", f"{result.seconds:.2f}"))
    return [*rows, *(("note", note) for note in result.notes)]


def rows_around(result: Result, own: Rows) -> Rows:
    """Return the rows of a result with a family's own in place of its facts."""
    rows = result_rows(result)
    head = [row for row in rows if row[0] in ("status", "objective", "bound", "gap")]
    tail = [row for row in rows if row[0] in ("method", "seconds", "note")]
    return [*head, *own, *tail]


def _status(result: Result) -> str:
    text = f"{result.status.value}: {result.reason}" if result.reason else result.status.value
    return f"{text} (interrupted)" if result.interrupted else text


def brief(phrase: str) -> str:
    """Return the number of a phrase, and a short unit, where its words have been said already.

    >>> brief("196 KiB extra off-chip traffic"), brief("a step time of 58 balanced layers")
    ('196 KiB', '58')
    """
    found = _QUANTITY.search(phrase)
    return found[0] if found else phrase


def percent(gap: float) -> str:
    """Return a relative gap as a percentage that is ``0 %`` only where it is zero.

    >>> percent(0.5), percent(3.2e-8)
    ('50.00 %', '3.2e-06 %')
    """
    if gap == 0:
        return "0 %"
    text = f"{100 * gap:.2f}"
    return f"{100 * gap:.1e} %" if float(text) == 0 else f"{text} %"


def fact_rows(facts: Mapping[str, Any]) -> Rows:
    """Return labels and values of family figures.

    ``x_bytes`` are sizes, one or several by name; ``x_lower_bytes`` and ``x_upper_bytes`` are one
    bracket; ``x_note`` is a remark on ``x_bytes``. What is None or empty is left out.
    """
    rows = []
    for key, value in facts.items():
        if value is None or value == "" or key.endswith("_note"):
            continue
        if key.endswith("_upper_bytes") and f"{_cut(key)}_lower_bytes" in facts:
            continue
        if key.endswith("_lower_bytes") and f"{_cut(key)}_upper_bytes" in facts:
            upper = facts[f"{_cut(key)}_upper_bytes"]
            rows.append((label(_cut(key)), _bracket(value, upper)))
        elif key.endswith("_bytes"):
            stem = key.removesuffix("_bytes")
            note = facts.get(f"{stem}_note")
            rows.append((label(stem), _sizes(value) + (f" ({note})" if note else "")))
        else:
            rows.append((label(key), f"{value[:16]}..." if key == "sha256" else plain(value)))
    return rows


def size(value: float) -> str:
    """Return bytes in words; the exact number beside a unit that had to round."""
    text = format_bytes(value)
    whole = text.split()[0].replace(",", "").split(".")
    exact = len(whole) == 1 or len(whole[1]) < 3
    return text if exact else f"{text} ({value:,} B)"


def _sizes(value: float | Mapping[str, float]) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {size(one)}" for name, one in value.items())
    return size(value)


def _bracket(lower: float, upper: float) -> str:
    return f"{size(upper)} (proven)" if lower == upper else f"{size(lower)} to {size(upper)}"


def _cut(key: str) -> str:
    return key.removesuffix("_lower_bytes").removesuffix("_upper_bytes")


def label_of(key: str) -> tuple[str, str]:
    """Return what a table calls a single figure, and its unit: that which its name ends with.

    >>> label_of("peak_bytes"), label_of("idle_rank_share")
    (('peak used', 'bytes'), ('idle rank', 'share'))
    """
    for ending, unit in _UNITS:
        if key.endswith(ending):
            return label(key.removesuffix(ending)), unit
    return label(key), ""


def label(stem: str) -> str:
    """Return how a table calls a figure."""
    return _LABELS.get(stem, stem.replace("_", " "))


def plain(value: Any) -> str:
    """Return a value in words: numbers grouped by thousands, lists and mappings in one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    return str(value)
