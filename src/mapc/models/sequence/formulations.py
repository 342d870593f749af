"""Sequence problems as programs, by name."""

from __future__ import annotations

from functools import partial

from mapc.models.base import Formulation
from mapc.models.sequence.bounds import aggregate, step
from mapc.models.sequence.published import flexsp_model

FORMULATIONS: dict[str, Formulation] = {
    "flexsp": Formulation(
        "flexsp", flexsp_model.lower, "FlexSP's virtual groups, one micro-batch, exact lengths"
    ),
    "flexsp-buckets": Formulation(
        "flexsp-buckets",
        partial(flexsp_model.lower, buckets=True),
        "the same, lengths rounded up into buckets as published",
    ),
    "flexsp-tight": Formulation(
        "flexsp-tight",
        partial(flexsp_model.lower, symmetry=True, tight=True),
        "the same, groups numbered and memory tied to their use",
    ),
    "aggregate": Formulation(
        "aggregate", aggregate.lower, "one micro-batch and a makespan: ranks that sums ask for"
    ),
    "step": Formulation("step", step.lower, "all micro-batches, groups summed up by mode: a bound"),
}
"""In the order of listings."""
