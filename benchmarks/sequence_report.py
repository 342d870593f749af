"""Records of the sequence benchmarks as JSON lines, and the tables made of them.

A gap is a step over its bound, less 1, and an excess a step over the best one known, less 1.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """What one method did on one case.

    Attributes
    ----------
    case : mapping
        Of plain values, in the order in which they are printed.
    method : str
    settings : mapping
        What else the answer depends on, e.g. ``{"seconds": 5.0}``.
    ms, bound : float or None
        The step of the verified plan, and what no plan undercuts, where it is proven.
    seconds, cpu : float
        Wall time, and CPU time of the process and of its solver.
    more : mapping
        What else there is to say.
    """

    case: dict[str, Any]
    method: str
    settings: dict[str, Any]
    ms: float | None = None
    bound: float | None = None
    seconds: float = 0.0
    cpu: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for records that say the same thing about the same case."""
        return key(self.case, self.method, self.settings)


def key(case: dict[str, Any], method: str, settings: dict[str, Any]) -> str:
    """Return what tells records apart."""
    return json.dumps([case, method, settings], sort_keys=True)


class Journal:
    """Records, kept in a file as they come, so that a run goes on where the last one stopped.

    Parameters
    ----------
    path : Path, optional
        Without one, records live in memory only. A line that was cut off is left out.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.records: dict[str, Record] = {}
        if path is not None and path.exists():
            text = path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                path.write_text(text + "\n", encoding="utf-8")
            for line in text.splitlines():
                try:
                    record = Record(**json.loads(line))
                except ValueError:  # the run was ended while it wrote
                    continue
                self.records[record.key] = record

    def get(self, case: dict[str, Any], method: str, settings: dict[str, Any]) -> Record | None:
        """Return the record that is there."""
        return self.records.get(key(case, method, settings))

    def best_ms(self, case: dict[str, Any]) -> float:
        """Return the fastest step of any method with any settings; infinite without one."""
        steps = [r.ms for r in self.records.values() if r.case == case and r.ms is not None]
        return min(steps, default=math.inf)

    def add(self, record: Record) -> None:
        """Keep a record."""
        self.records[record.key] = record
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(record)) + "\n")


# -- figures ---------------------------------------------------------------------------------------

Case = dict[str, Record]
"""The records of one case by method."""


def gap(record: Record) -> float | None:
    """Return how far a step is above its own bound, relative to the bound."""
    if record.ms is None or record.bound is None:
        return None
    return record.ms / record.bound - 1.0


def excess(record: Record, ms: float) -> float | None:
    """Return how far a step is above another, relative to the other."""
    return None if record.ms is None else record.ms / ms - 1.0


def worse(cases: Sequence[Case], method: str, baseline: str) -> tuple[int, int]:
    """Return on how many cases a method is slower than a baseline, of how many that have both."""
    both = [
        (case[method].ms, case[baseline].ms)
        for case in cases
        if method in case and baseline in case and case[baseline].ms is not None
    ]
    return sum(ours is None or ours > theirs for ours, theirs in both), len(both)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


# -- tables ----------------------------------------------------------------------------------------


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, figures to the right."""
    cells = [list(head), *(list(row) for row in rows)]
    width = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = []
    for number, row in enumerate(cells):
        padded = [
            c.ljust(w) if at == 0 else c.rjust(w)
            for at, (c, w) in enumerate(zip(row, width, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
        if number == 0:
            rule = ["-" * w if at == 0 else "-" * (w - 1) + ":" for at, w in enumerate(width)]
            lines.append("| " + " | ".join(rule) + " |")
    return "\n".join(lines)


def ms_text(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def spread(values: Sequence[float], text: Callable[[float], str]) -> tuple[str, str, str]:
    """Return mean, 99th percentile and largest, or nothing of nothing."""
    if not values:
        return "", "", ""
    return text(statistics.fmean(values)), text(percentile(values, 0.99)), text(max(values))
