"""What the gate says of a suite: for people a difference, for machines a document."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from mapc import __version__
from mapc.quality.findings import Finding, number, one_line
from mapc.quality.index import Number

PASSED: Final = "pass"
BETTER: Final = "better"
FAILED: Final = "FAIL"
INCONCLUSIVE: Final = "inconclusive"
WIDTH: Final = 80
"""Columns of the table."""
SOLVERS: Final = ("highs", "cpsat")
"""Whose versions an answer depends on."""


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """What a run came to; without seconds the same every time."""

    folder: str = ""
    patch: dict[str, Any] | None = None
    status: str = ""
    objective: Number | None = None
    bound: Number | None = None
    steps: int = 0
    nodes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checked(_Figures):
    """What came of one instance.

    Attributes
    ----------
    label : str
        Family and name.
    outcome : str
        ``PASSED``, ``BETTER`` (nothing wrong, and something better than the index says),
        ``FAILED`` or ``INCONCLUSIVE``.
    findings : tuple of Finding
        What is wrong.
    better : tuple of str
        What is better than the index says, one line each.
    remarks : tuple of str
        Why it is inconclusive.
    folder : str
        Of its index.
    patch : mapping or None
        Values that ``mapc record`` would put into the index.
    status : str
        Of the run.
    objective, bound : number or None
        Of the run.
    steps : int
        Better plans and bounds on the way.
    nodes : int
        Of branch and bound, all programs of the run and of the comparisons of backends.
    seconds : float
        Wall time.
    """

    label: str
    outcome: str
    findings: tuple[Finding, ...] = ()
    better: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def command(self) -> str:
        """What records the better values."""
        name = self.label.partition("/")[2]
        return shlex.join(["mapc", "record", self.folder, name])


@dataclass(frozen=True)
class Report:
    """What came of a suite.

    Attributes
    ----------
    suite : str
        As given.
    cases : tuple of Checked
        In the order of the suite.
    """

    suite: str
    cases: tuple[Checked, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what is inconclusive or better is no failure."""
        return not self.counts[FAILED]

    @cached_property
    def counts(self) -> Counter[str]:
        """How many instances came to which outcome."""
        return Counter(one.outcome for one in self.cases)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of mapc and of the solvers that are installed."""
        from mapc.solvers import catalogue

        found = {"mapc": __version__}
        return found | {one: catalogue.version(one) for one in SOLVERS if catalogue.version(one)}

    @property
    def summary(self) -> str:
        """How many instances came to what; one line."""
        counts = [f"{self.counts[one]} {one}" for one in (PASSED, BETTER, FAILED, INCONCLUSIVE)]
        return f"{len(self.cases)} instances: {', '.join(counts)}"

    def text(self, *, timings: bool = False) -> str:
        """Return the report for people: first every run, then what is wrong and what is better."""
        lines = [" ".join(f"{name} {version}" for name, version in self.versions.items()), ""]
        lines += _table(self.cases, timings)
        for one in self.cases:
            if one.findings:
                lines += ["", f"{one.label}: {FAILED}", *_indented(one.findings)]
        better = [one for one in self.cases if one.outcome == BETTER]
        for one in better:
            lines += ["", f"{one.label}: {BETTER} than the index says"]
            lines += [f"  {one_line(text)}" for text in one.better]
            lines += [f"  $ {one.command}", f'  "best": {json.dumps(one.patch)}']
        for one in self.cases:
            if one.remarks:
                lines += ["", f"{one.label}: {one.outcome}, {one_line('; '.join(one.remarks))}"]
        return "\n".join([*lines, "", self.summary]) + "\n"

    def document(self, *, timings: bool = False) -> dict[str, Any]:
        """Return the report for machines."""
        cases = []
        for one in self.cases:
            found = asdict(one)
            found["command"] = one.command if one.outcome == BETTER else None
            del found["folder"]
            if timings:
                found["seconds"] = round(one.seconds, 3)
            else:
                del found["seconds"]
            cases.append(found)
        return {
            "suite": self.suite,
            "ok": self.ok,
            "versions": self.versions,
            "counts": {one: self.counts[one] for one in (PASSED, BETTER, FAILED, INCONCLUSIVE)},
            "cases": cases,
        }


def _indented(findings: tuple[Finding, ...]) -> list[str]:
    return [f"  {line}" for one in findings for line in one.lines()]


def _table(cases: tuple[Checked, ...], timings: bool) -> list[str]:
    header = ["instance", "outcome", "status", "objective", "bound", "steps", "nodes"]
    rows = [header + ["seconds"] * timings]
    for one in cases:
        figures = [number(one.objective), number(one.bound), str(one.steps), str(one.nodes)]
        rows.append([one.label, one.outcome, one.status or "-", *figures])
        if timings:
            rows[-1].append(f"{one.seconds:.2f}")
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    room = WIDTH - sum(widths[1:]) - 2 * len(widths[1:])
    widths[0] = max(len(row[0]) for row in rows if len(row[0]) <= max(room, len(header[0])))
    lines = []
    for name, *figures in rows:
        if len(name) > widths[0]:  # figures stay in their columns, below a long name
            lines.append(name)
            name = ""
        cells = zip([name, *figures], widths, strict=True)
        lines.append("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())
    return lines
