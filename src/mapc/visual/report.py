"""Reports: plans as one self-contained HTML document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mapc.errors import UsageError
from mapc.files import write_whole
from mapc.markup import Markup, clean, element
from mapc.models.fronts import Front
from mapc.solvers.result import Result
from mapc.visual.loading import comparison_of, front_of, of_plan, of_result, together
from mapc.visual.view import Record, View

FRAME_HEIGHT = 900
"""Pixels of a report inside a notebook."""


@dataclass(frozen=True)
class Report:
    """A report, not yet in a file.

    Attributes
    ----------
    html : str
        The whole document; nothing in it is loaded from elsewhere.
    """

    html: str = field(repr=False)

    def write(self, path: str | Path) -> None:
        """Write the document, whole or not at all; ``-`` is standard output.

        Raises
        ------
        UsageError
            If the file cannot be written.
        """
        write_whole(path, self.html.encode())

    def _repr_html_(self) -> str:
        """Return a frame that shows the document in a notebook, apart from the rest of it."""
        return element(
            "iframe",
            # an attribute: escaped like all others, and parsed as a document of its own
            srcdoc=Markup(_quoted(self.html)),
            sandbox="allow-scripts",
            width="100%",
            height=str(FRAME_HEIGHT),
            title="mapc report",
            style="border:0",
        )


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")


def make(views: Sequence[View]) -> Report:
    """Return the report of one plan, or of several plans of one family side by side.

    Raises
    ------
    UsageError
        For no plan, or plans of several families.
    """
    from mapc.visual.page import page

    if not views:
        raise UsageError("no plans: expected at least one")
    together(views)
    return Report(page(views))


def of(
    problem: Any,
    results: Sequence[Any],
    labels: Sequence[str] | None = None,
    front: Front | None = None,
    comparison: Mapping[str, Result] | None = None,
) -> Report:
    """Return the report of results, or plans, for one problem: what `mapc.report` does."""
    names = [f"plan {i + 1}" for i in range(len(results))] if labels is None else list(labels)
    return make(views_of(problem, results, names, front, comparison))


def views_of(
    problem: Any,
    results: Sequence[Any],
    names: Sequence[str],
    front: Front | None,
    comparison: Mapping[str, Result] | None,
) -> list[View]:
    """Return the views of results, or plans, for one problem.

    Raises
    ------
    UsageError
        For labels that are not one for each, and plans of another family.
    """
    if len(names) != len(results):
        raise UsageError(f"labels: {len(names)} for {len(results)} plans; expected one for each")
    views = []
    for one, name in zip(results, names, strict=True):
        _fits(problem, one.plan if isinstance(one, Result) else one, name)
        if isinstance(one, Result):
            view = of_result(problem, one, name)
        else:
            view = of_plan(problem, one, Record(), name)
        if front is not None:
            view = replace(view, front=front_of(front))
        if comparison is not None:
            view = replace(view, comparison=comparison_of(comparison))
        views.append(view)
    return views


def _fits(problem: Any, plan: Any, name: str) -> None:
    """Refuse what is no plan for a problem of this family; None is no plan at all."""
    from mapc.instances.codecs import codec_of

    expected = codec_of(problem).plan_type
    if plan is not None and not isinstance(plan, expected):
        found = type(plan).__name__
        raise UsageError(f"{clean(name)}: {found}; expected {expected.__name__}, or a result")
