"""What a report says of a run in words: its verdict, its figures, how to do it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath

from mapc.markup import clean
from mapc.solvers.base import Number, relative_gap
from mapc.visual.view import View
from mapc.visual.words import words
from mapc.wording import common, families
from mapc.wording.common import Rows
from mapc.wording.runs import asked_rows, solve_call, solve_command

GOOD, PLAIN, BAD = "good", "plain", "bad"
"""How a verdict is coloured."""

LONG = 8_000
"""Characters of a command that are shown."""


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
        told = said(view, objective)
        # where all fits, the words have no number to have less of
        less = "; no plan can have less" if any(map(str.isdigit, told)) else ""
        return "optimal", f": {told}{less}", GOOD
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
    if objective > 10 * bound:
        times = objective / bound
        most = math.ceil(times) if math.isfinite(times) else times
        return f", at most {words(most)} times the best possible"
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
        # the verdict has said the words
        ("objective", common.brief(said(view, view.objective)), ""),
        ("bound", common.brief(said(view, view.bound)), by),
        ("gap", words(gap(view), "share"), ""),
        ("status", record.status or "unknown", "interrupted" if record.interrupted else ""),
        ("method", record.method or words(None), ""),
        ("time", words(record.seconds, "s"), ""),
    ]


def again(view: View) -> list[tuple[str, str]]:
    """Return how to do it again: for every way a sentence, and a command or a call.

    Nothing where nothing is known of the run, and no file holds its problem.
    """
    record, file = view.record, view.plan_file
    ways = []
    if file and not record.asked:
        ways.append(("The plan file carries its problem; this solves it:", solve_command(file, {})))
    elif file and "backends" in record.asked:
        call = f"import mapc\n\n{solve_call(file, record.asked)}"
        ways.append(("The plan file carries its problem; this solves it as the run did:", call))
    elif file:
        text = "The plan file carries its problem; this solves it again as the run did:"
        ways.append((text, solve_command(file, record.asked)))
    if record.command:
        ways.append(("The command as it was given:", clean(record.command, LONG)))
    if record.asked and not ways:
        ways.append(("In Python, with the same problem:", solve_call("", record.asked)))
    return ways


# -- figures of problem, run and plan ------------------------------------------------------------


def problem_rows(view: View) -> Rows:
    """Return labels and values of what the problem is, as the terminal has them."""
    return [] if view.problem is None else families.problem_rows(view.problem)


def run_rows(view: View) -> Rows:
    """Return labels and values of what a run was asked for, and the time it took."""
    record = view.record
    rows = asked_rows(record.asked)
    if record.seconds is not None:
        rows.append(("took", words(record.seconds, "s")))
    return rows


def plan_rows(view: View) -> Rows:
    """Return labels and values of what the plan comes to, as the verifier found."""
    if view.plan is None:
        return []
    if view.problem is None:
        return common.fact_rows(view.facts)
    return families.plan_rows(view.problem, view.plan, view.facts)
