"""EPLB's triple of tables as .npz, for scripts written around ``rebalance_experts``."""

from __future__ import annotations

import io

import numpy as np

from mapc.deploy.experts import physical_experts
from mapc.models.placement.baselines.eplb import tables_from
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem


def export(problem: PlacementProblem, plan: PlacementPlan) -> bytes:
    """Return ``phy2log``, ``log2phy`` and ``logcnt`` as a .npz file.

    int64[L, S], int64[L, E, S - E + 1] padded with -1, and int64[L, E], where L counts the layers
    with experts only. There is nothing to launch::

        tables = numpy.load("FILE")
        phy2log, log2phy, logcnt = (tables[name] for name in ("phy2log", "log2phy", "logcnt"))

    Raises
    ------
    UsageError
        For dead ranks, and for a plan with a split of its own, which the tables cannot say.
    InstanceError
        For a plan that does not belong to the problem.
    """
    experts = physical_experts(problem, plan, "eplb")
    file = io.BytesIO()
    np.savez_compressed(file, **tables_from(experts, problem.n_experts)._asdict())
    return file.getvalue()
