"""Plans of sequence problems, what their pictures hold, and groups counted one by one."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mapc.models import family_of
from mapc.models.base import phrase_of
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.visual.figure import MAX_MARKS, ROLES, UNITS, Figure, Mark, Rects, Rule, Table
from mapc.visual.pictures.sequence import sections
from mapc.visual.view import Record, View
from oracles.sequence_cases import every_plan, problem_of, small_sequence_problems

# eight ranks in two nodes, memory for 8 tokens per rank
CASE = problem_of(
    [3, 5, 8, 20, 2, 30],
    [(d, ULYSSES, 0.25 / d, 1.0 / d, 4.0, 8 * d) for d in (1, 2, 4, 8)],
    n_ranks=8,
    node_ranks=4,
    padding=2,
)


def plan(*columns: Any) -> SequencePlan:
    """Return a plan of lists: micro-batch, mode and first rank of groups, group of sequences."""
    return SequencePlan(*(np.array(column, dtype=np.int64) for column in columns))


GOOD = plan([0, 0, 0, 1], [2, 1, 0, 2], [4, 0, 3, 0], [2, 1, 1, 0, 2, 3])


def view_of(problem: SequenceProblem, answer: SequencePlan, **fields: Any) -> View:
    """Return the view of a plan, replayed; ``fields`` replace what it would hold."""
    family, verdict = family_of(problem), verify(problem, answer)
    told: dict[str, Any] = {
        "label": "case",
        "kind": "sequence",
        "problem": problem,
        "plan": answer,
        "record": Record(),
        "objective": verdict.objective,
        "facts": {**family.facts(problem), **verdict.facts},
        "violations": verdict.violations,
        "phrase": phrase_of(family, problem),
    }
    return View(**(told | fields))


def figures_of(view: View) -> dict[str, Figure]:
    """Return all figures of a plan by their keys, which have to be distinct."""
    found = [figure for section in sections(view) for figure in section.figures]
    assert len({figure.key for figure in found}) == len(found)
    return {figure.key: figure for figure in found}


def rects(figure: Figure, *, coloured: bool = True) -> list[tuple[float, float, float, float, str]]:
    """Rectangles with their titles: of groups, or of the sequences in them."""
    return [
        (float(x0), float(x1), float(y0), float(y1), title)
        for mark in figure.marks
        if isinstance(mark, Rects) and mark.role.startswith("c") is coloured
        for x0, x1, y0, y1, title in zip(
            mark.x0, mark.x1, mark.y0, mark.y1, mark.titles, strict=True
        )
    ]


def rules(figure: Figure, role: str) -> list[Rule]:
    """Return the rules of a role, in order."""
    return [mark for mark in figure.marks if isinstance(mark, Rule) and mark.role == role]


def table_of(figure: Figure) -> Table:
    """Return the table of a figure that has one."""
    assert figure.table is not None
    return figure.table


def plain_ticks(problem: SequenceProblem, mode: int, k: int | None) -> int:
    """Ticks of a sequence in a mode, or of the fixed part: Python's numbers, one at a time."""
    cost = problem.cost
    if k is None:
        return round(float(cost.fixed[mode]) / problem.tick)
    s = float(-(-int(problem.lengths[k]) // problem.padding) * problem.padding)
    return round(
        (float(cost.quadratic[mode]) * (s * s) + float(cost.linear[mode]) * s) / problem.tick
    )


def plain_groups(
    problem: SequenceProblem, answer: SequencePlan
) -> list[tuple[float, float, float, float]]:
    """The rectangle of every group: ms and ranks, by loops."""
    times = []
    for g, mode in enumerate(answer.mode.tolist()):
        members = [k for k, of in enumerate(answer.group.tolist()) if of == g]
        times.append(
            plain_ticks(problem, mode, None) + sum(plain_ticks(problem, mode, k) for k in members)
        )
    start, begins = 0, {}
    for batch in sorted(set(answer.micro_batch.tolist())):
        begins[batch] = start
        start += max(
            t for t, b in zip(times, answer.micro_batch.tolist(), strict=True) if b == batch
        )
    found = []
    for time, batch, mode, first in zip(
        times,
        answer.micro_batch.tolist(),
        answer.mode.tolist(),
        answer.first_rank.tolist(),
        strict=True,
    ):
        x0 = begins[batch]
        stop = first + int(problem.cost.degree[mode])
        found.append((x0 * problem.tick, (x0 + time) * problem.tick, float(first), float(stop)))
    return found


def check_well_formed(figure: Figure) -> None:
    """What every renderer may rely on."""
    assert figure.x.low < figure.x.high
    assert figure.y.low < figure.y.high
    assert figure.x.unit in UNITS
    assert figure.y.unit in UNITS
    marks: list[Mark] = list(figure.marks)
    assert sum(len(m.titles) for m in marks if isinstance(m, Rects)) <= MAX_MARKS
    for mark in marks:
        assert mark.role in ROLES
        if isinstance(mark, Rects):
            assert len(mark.titles) > 0
            columns = (mark.x0, mark.x1, mark.y0, mark.y1)
            assert {len(c) for c in columns} == {len(mark.titles)}
            assert all(c.dtype == np.float64 and np.isfinite(c).all() for c in columns)
            assert (mark.x0 <= mark.x1).all()
            assert (mark.y0 <= mark.y1).all()
            assert mark.x0.min() >= figure.x.low
            assert mark.x1.max() <= figure.x.high
            assert mark.y0.min() >= figure.y.low
            assert mark.y1.max() <= figure.y.high
    if figure.table is not None:
        assert {len(row) for row in figure.table.rows} == {len(figure.table.columns)}
        assert len(figure.table.units) == len(figure.table.columns)
        assert set(figure.table.units) <= set(UNITS)


@st.composite
def planned(draw: st.DrawFn) -> tuple[SequenceProblem, SequencePlan]:
    """A small problem and one of its first plans."""
    problem = draw(small_sequence_problems(max_sequences=4))
    plans = list(itertools.islice(every_plan(problem), 13))
    if not plans:  # none fits as few micro-batches as allowed
        problem = dataclasses.replace(problem, least=1, most=None)
        plans = list(itertools.islice(every_plan(problem), 13))
    return problem, draw(st.sampled_from(plans))


MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
