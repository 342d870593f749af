"""A report: one HTML document that needs nothing else.

Everything foreign goes through `mapc.markup`; style and script are inlined, and the content
security policy lets nothing else run or load.
"""

from __future__ import annotations

from collections.abc import Sequence

from mapc.markup import Markup, clean, element, escape, join, opening, rows
from mapc.visual import timeline
from mapc.visual.figure import Section
from mapc.visual.page_beside import beside, cells, differences
from mapc.visual.page_style import policy, script, stylesheet
from mapc.visual.page_words import (
    again,
    differs,
    impossible,
    plan_rows,
    problem_rows,
    run_rows,
    said,
    short,
    tiles,
    verdict,
)
from mapc.visual.svg import draw, table
from mapc.visual.view import View

LONG = 1_000
"""Characters of a sentence or a path that are shown."""


def page(views: Sequence[View], sections: Sequence[Sequence[Section]] | None = None) -> str:
    """Return the report of one plan, or of several side by side, as an HTML document.

    Parameters
    ----------
    views : sequence of View, at least one
    sections : a sequence of sections for every view, optional
        The pictures of the family; None asks `mapc.visual.pictures.sections`.

    Returns
    -------
    str
        Self-contained; equal views give equal documents.
    """
    if sections is None:
        from mapc.visual.pictures import sections as of_family

        sections = [of_family(view) for view in views]
    several = len(views) > 1
    body = join(
        (
            element("a", "Skip to the report", href="#report", class_="skip"),
            _header(views),
            _tools(),
            element(
                "main",
                _beside(views) if several else _run(views[0]),
                beside(views, sections),
                *(
                    _again(view, name if several else None)
                    for view, name in zip(views, short(views), strict=True)
                ),
                id="report",
                tabindex="-1",
            ),
            element("footer", element("p", "Written by mapc.", class_="faint")),
            element("div", id="heard", class_="heard", aria_live="polite"),
        )
    )
    return "".join(
        (
            "<!doctype html>\n",
            opening("html", lang="en"),
            _head(views),
            opening("body", class_="several" if several else "one"),
            body,
            f"<script>{script()}</script>",
            "</body></html>\n",
        )
    )


def _head(views: Sequence[View]) -> Markup:
    title = ", ".join(f"{_name(view)} ({view.kind})" for view in views)
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy()),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{clean(title)} \N{EN DASH} mapc report"),
        element("style", Markup(stylesheet())),
    )


def _name(view: View) -> str:
    name = view.facts.get("name") or getattr(view.problem, "name", "")
    return str(name or view.label)


def _header(views: Sequence[View]) -> Markup:
    names = dict.fromkeys(clean(_name(view)) for view in views)
    kinds = dict.fromkeys(view.kind for view in views)
    several = len(views) > 1
    return element(
        "header",
        element(
            "h1",
            element("bdi", escape(", ".join(names), LONG)),
            Markup(" "),
            element("span", ", ".join(kinds), class_="kind"),
        ),
        element(
            "div",
            join(
                _top(view, name if several else None)
                for view, name in zip(views, short(views), strict=True)
            ),
            class_="views",
            style=f"--n:{len(views)}",
        ),
    )


def _top(view: View, name: str | None) -> Markup:
    word, rest, how = verdict(view)
    return element(
        "div",
        element("p", element("bdi", escape(name, LONG)), class_="which") if name else None,
        element(
            "p",
            element("b", word),
            element("bdi", escape(rest, LONG)),
            class_=f"verdict {how}",
        ),
        _warnings(view),
        element(
            "dl",
            join(
                element(
                    "div",
                    element("dt", label),
                    element("dd", element("bdi", value)),
                    element("dd", element("bdi", more), class_="by") if more else None,
                )
                for label, value, more in tiles(view)
            ),
            class_="tiles",
        ),
    )


def _warnings(view: View) -> Markup:
    parts = []
    if view.violations:
        shown = view.violations[:50]
        rest = len(view.violations) - len(shown)
        parts.append(
            element(
                "div",
                element("strong", "Rules that the plan breaks"),
                element("ul", join(_item(line) for line in shown)),
                element("p", f"and {rest:,} more") if rest else None,
                class_="box",
                role="alert",
            )
        )
    told, found = said(view, view.record.objective), said(view, view.objective)
    if differs(view):
        parts.append(_box(f"The file says {told}; replaying the plan gives {found}."))
    if impossible(view):
        bound = said(view, view.bound)
        parts.append(
            _box(
                f"The bound in the file, {bound}, is above what the plan comes to: it cannot hold."
            )
        )
    return join(parts)


def _box(text: str) -> Markup:
    return element("div", element("bdi", escape(text, LONG)), class_="box", role="alert")


def _item(line: str) -> Markup:
    return element("li", element("bdi", escape(line, LONG)))


def _tools() -> Markup:
    """Return what only the script can make work; hidden without it."""
    return element(
        "div",
        element(
            "div",
            element(
                "label",
                "Filter",
                element("input", type="search", id="filter", placeholder="part of a name"),
            ),
            element("output", id="matches", aria_live="polite"),
            element("button", "Dark or light", type="button", id="theme"),
        ),
        class_="tools",
        role="search",
        hidden=True,
    )


def _run(view: View) -> Markup:
    picture = timeline.figure([view])
    return join(
        (
            element(
                "section",
                element("h2", "What was asked"),
                element(
                    "div",
                    _rows(problem_rows(view), "The problem"),
                    _rows(run_rows(view), "The run"),
                    _rows(plan_rows(view), "The plan"),
                    class_="cols",
                ),
            ),
            element(
                "section",
                element("h2", "How the run went"),
                draw(picture) if picture else None,
                _steps(view),
                _notes(view),
            ),
        )
    )


def _steps(view: View, name: str = "") -> Markup:
    steps = timeline.table(view)
    return table(steps, name) if steps else element("p", "Nothing is known of its steps.")


def _rows(pairs: Sequence[tuple[str, str]], title: str = "") -> Markup | None:
    if not pairs:
        return None
    shown = [(element("bdi", label), element("bdi", escape(value, LONG))) for label, value in pairs]
    heading = element("h3", title) if title else None
    return element("div", heading, rows(shown, aria_label=title or None), class_="facts")


def _notes(view: View) -> Markup | None:
    if not view.record.notes:
        return None
    return element(
        "div",
        element("h3", "Notes"),
        element("ul", join(_item(note) for note in view.record.notes)),
    )


def _beside(views: Sequence[View]) -> Markup:
    """Return figures and runs of several plans beside each other."""
    names = short(views)
    picture = timeline.figure(views)
    problems = [problem_rows(view) for view in views]
    alike = all(rows == problems[0] for rows in problems)
    asked = [
        join(
            (
                None if alike else _rows(of_problem, "The problem"),
                _rows(run_rows(view), "The run"),
                _rows(plan_rows(view), "The plan"),
            )
        )
        for view, of_problem in zip(views, problems, strict=True)
    ]
    return join(
        (
            element("section", element("h2", "Side by side"), differences(views)),
            element(
                "section",
                element("h2", "What was asked"),
                _rows(problems[0], "The problem") if alike else None,
                cells(zip(names, asked, strict=True)),
            ),
            element(
                "section",
                element("h2", "How the runs went"),
                draw(picture) if picture else None,
                cells(
                    (name, join((_steps(view, name), _notes(view))))
                    for view, name in zip(views, names, strict=True)
                ),
            ),
        )
    )


def _again(view: View, name: str | None) -> Markup:
    heading = "How to do it again"
    if name is not None:
        heading += f": {name}"
    ways = again(view)
    pairs = [("seed", str(view.record.asked["seed"]))] if "seed" in view.record.asked else []
    pairs += view.record.versions.items()
    return element(
        "section",
        element("h2", element("bdi", escape(heading, LONG))),
        join(
            join((element("p", sentence), element("pre", element("code", _lines(command)))))
            for sentence, command in ways
        )
        if ways
        else element("p", "Nothing is known of the run."),
        _rows(pairs),
    )


def _lines(text: str) -> Markup:
    """Return a command or a call; line ends of ours stay."""
    return join((escape(line, None) for line in text.split("\n")), "\n")
