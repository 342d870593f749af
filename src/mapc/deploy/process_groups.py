"""Process groups that a trainer creates once, for ``torch.distributed.new_group``."""

from __future__ import annotations

from mapc.deploy.steps import every_range, lines_of, micro_batches, ranges_of
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem

ALL, USED = "all", "used"


def export(problem: SequenceProblem, plan: SequencePlan, *, which: str = ALL) -> str:
    """Return ``process_groups``: the ranks of each group, in the same order on every rank.

    ``new_group`` is called by every rank for every group, also those it is not in, and in one
    order; so a trainer does it once, before the first step::

        made = {}
        for ranks in json.load(open("FILE"))["process_groups"]:
            made[ranks[0], len(ranks)] = torch.distributed.new_group(ranks)

    A group of a plan then is ``made[first rank, degree]``. On N ranks there are at most 2 N - 1:
    a group starts at a multiple of its degree, a power of two.

    Parameters
    ----------
    problem, plan
    which : str
        ``"all"``: the groups of every plan for such a cluster and such degrees; ``"used"``: those
        of this plan.

    Raises
    ------
    InstanceError
        For a plan that does not belong to the problem.
    """
    ranges = every_range(problem) if which == ALL else ranges_of(micro_batches(problem, plan))
    return lines_of(
        {
            "format": "process-groups",
            "version": 1,
            "world_size": problem.n_ranks,
            "process_groups": [list(range(first, first + degree)) for first, degree in ranges],
        }
    )
