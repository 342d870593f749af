"""Pictures of a sequence plan: groups over ranks and time, lengths, groups one by one, others."""

from __future__ import annotations

from mapc.visual.figure import Section
from mapc.visual.pictures.sequence_comparison import comparison, known_bound
from mapc.visual.pictures.sequence_gantt import gantt
from mapc.visual.pictures.sequence_groups import Groups, read
from mapc.visual.pictures.sequence_inside import groups, lengths, memory
from mapc.visual.view import View
from mapc.visual.words import counted, words


def sections(view: View) -> tuple[Section, ...]:
    """Return the sections of a sequence plan.

    Figures: ``gantt`` (ranks over time), ``lengths`` (histogram of sequence lengths by degree),
    ``groups`` and ``memory`` (time and tokens of every group), ``comparison`` (the step beside
    plans of one degree, Megatron's and those of ``view.comparison``).

    Parameters
    ----------
    view : View
        Of a sequence problem and plan; times in ms.

    Returns
    -------
    tuple of Section
        Empty where there is no plan, or none that could be replayed.
    """
    if view.plan is None or view.objective is None or len(view.plan.mode) == 0:
        return ()
    seen, bound = read(view.problem, view.plan), known_bound(view)
    beside = comparison(view, seen, bound)
    return (
        Section(
            "groups",
            "Groups over ranks and time",
            "Micro-batches run one after the other; each is done when its slowest group is. What "
            f"stays empty is idle: {words(_idle(seen), 'share')} of the rank-time.",
            (gantt(seen, bound),),
        ),
        Section(
            "sequences",
            "Lengths and groups",
            f"{counted(len(seen.group), 'sequence')} in {counted(len(seen), 'group')}: the degree "
            "that each length runs at, and the time and memory of every group.",
            (lengths(seen), groups(seen), memory(seen)),
        ),
        Section(
            "comparison",
            "Beside other plans",
            "What one degree for everything and Megatron's greedy take for the same sequences.",
            (beside,),
        ),
    )


def _idle(seen: Groups) -> float:
    whole = float(seen.start[-1])
    return float(seen.idle() @ seen.slowest) / whole if whole > 0 else 0.0
