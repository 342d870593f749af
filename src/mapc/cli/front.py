"""``mapc solve --front``: the best objective against one resource, whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.output import one_line, print_columns, print_json, print_table, say
from mapc.cli.tables import columns
from mapc.cli.terminal import WIDTH, cells
from mapc.files import write_whole
from mapc.units import quantity
from mapc.wording.common import brief, percent

if TYPE_CHECKING:
    from mapc.models.fronts import Front

SUFFIXES = (".csv", ".json")
SHOWN = 12
"""Points of a long front that a table shows."""

MAX_POINTS = 100_000
"""Budgets that may be certified in one run."""


def parse_points(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Return ``all``, or a number of points that make a front."""
    if value is None:
        return None
    from mapc.models.fronts import ALL

    if value.strip().lower() == ALL:
        return ALL
    if not (value.isascii() and value.isdigit() and 2 <= int(value[:9]) <= MAX_POINTS):
        raise click.BadParameter(f"{value!r}: expected 2 to {MAX_POINTS}, or all")
    return int(value)


# -- the command ---------------------------------------------------------------------------------


def run_front(
    problem: Any, points: int | str | None, output: str | None, as_json: bool, **options: Any
) -> None:
    """Print the front of a problem, or write it to a .csv or .json file.

    Parameters
    ----------
    problem : problem of any family
    points : int, str or None
        As of `mapc.api.front`.
    output : str or None
    as_json : bool
    **options
        What else `mapc.api.front` takes, and ``quiet``.

    Raises
    ------
    UsageError
    FrontError
        If every point is asked for and there are too many, or none was found in time.
    """
    from mapc import api
    from mapc.models import family_of
    from mapc.models.base import phrase_of
    from mapc.models.fronts import FrontError

    family = family_of(problem)
    quiet = options.pop("quiet")
    started = time.monotonic()

    def on_step(text: str) -> None:
        say(f"{time.monotonic() - started:8.2f} s  {one_line(text)}", err=True)

    front = api.front(problem, points=points, on_step=None if quiet else on_step, **options)
    seconds = time.monotonic() - started
    document = {
        "kind": family.kind,
        "name": family.facts(problem).get("name", ""),
        "resource": front.resource,
        "unit": front.unit,
        "points": front.kind,
        "count": len(front),
        "seconds": round(seconds, 3),
    }
    if front.notes:
        document["notes"] = list(front.notes)
    if not len(front):
        raise FrontError(f"no point of the front: {'; '.join(front.notes)}")
    if output is not None:
        _write(output, front, document)
        document["output"] = output
    if as_json:
        print_json(document if output is not None else {**document, **front.columns})
    else:
        _print(front, document, phrase_of(family, problem))


def _write(output: str, front: Front, document: Mapping[str, Any]) -> None:
    if output.lower().endswith(".json"):
        text = json.dumps({**document, **front.columns}) + "\n"
    else:
        lines = [",".join(front.columns)]
        rows = zip(*front.columns.values(), strict=True)
        lines += [",".join(_plain(value) for value in row) for row in rows]
        text = "\n".join(lines) + "\n"
    write_whole(output, text.encode())


def _plain(value: Any) -> str:
    """Return a value of a CSV; nothing where there is none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value)


_HEADINGS = {"bits_per_weight": "bits per weight"}
_OF_RESOURCE = ("cost", "budget", "least")


def _print(front: Front, document: Mapping[str, Any], phrase: Callable[[Any], str]) -> None:
    from mapc.models.fronts import ALL, CERTIFIED, OPEN

    chosen = _spread(len(front), len(front) if front.kind == CERTIFIED else SHOWN)
    rows = [
        [_cell(front, name, column[i], phrase) for name, column in front.columns.items()]
        for i in chosen
    ]
    _print_points([_HEADINGS.get(name, name) for name in front.columns], rows)
    left = len(front) - len(chosen)
    more = [("not shown", f"{left:,} points; -o FILE.csv writes all")] if left else []
    if "output" in document:
        more = [("written", str(document["output"]))]
    kind = "" if front.kind in (ALL, OPEN) else f" {front.kind}"
    points = "point" if len(front) == 1 else "points"
    count = f"{len(front):,}{kind} {points} of {front.value} against {front.resource}"
    if front.kind == OPEN:
        count += ", not all proven"
    notes = [("note", note) for note in front.notes]
    print_table([("front", count), *notes, ("seconds", f"{document['seconds']:.2f}"), *more])


def _print_points(header: list[str], rows: list[list[str]]) -> None:
    """Print a table; in two where the numbers of a point do not fit one line."""
    if sum(max(map(cells, column)) + 2 for column in zip(header, *rows, strict=True)) - 2 <= WIDTH:
        print_columns(header, rows)
    else:
        say(columns({name: [row[at] for row in rows] for at, name in enumerate(header)}))


def _spread(n: int, shown: int) -> list[int]:
    """Return up to ``shown`` positions from first to last, evenly."""
    if n <= shown:
        return list(range(n))
    return [i * (n - 1) // (shown - 1) for i in range(shown)]


def _cell(front: Front, name: str, value: Any, phrase: Callable[[Any], str]) -> str:
    if value is None:
        return "-"
    if name in _OF_RESOURCE:
        return quantity(value, front.unit)
    if name == "gap":
        return percent(value)
    if isinstance(value, str):
        return value
    if name == "bits_per_weight":
        return f"{value:.4f}"
    return brief(phrase(value))
