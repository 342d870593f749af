"""A step as JSON that names no runtime: groups, their ranks, and where each sequence lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mapc.deploy.steps import (
    Group,
    MicroBatch,
    check_divides,
    cost_hash,
    lines_of,
    micro_batches,
    ranges_of,
    sample_names,
)
from mapc.errors import UsageError
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem

VERSION = 1


def export(
    problem: SequenceProblem,
    plan: SequencePlan,
    *,
    step: int = 0,
    sample_ids: Sequence[int] | None = None,
    bound: float | None = None,
) -> str:
    """Return the step as JSON; [start, length] stands for ranks ``start .. start + length - 1``.

    Top-level keys: ``format`` (``"sequence-plan"``), ``version``, ``cost_model_hash``,
    ``world_size``, ``step``, ``objective_ms``, ``lower_bound_ms``, ``bound_scope`` (``"step"``: it
    holds for every choice of micro-batches), ``loss_norm`` (``"per_token"``: a step's loss is the
    sum over all tokens divided by ``loss_tokens``, for groups have different numbers of them),
    ``loss_tokens``, ``micro_batches``, ``process_groups`` (ranges of ranks, each once).

    A micro-batch has ``id``, ``est_ms``, ``idle_ranks`` and ``groups``; a group ``ranks``,
    ``degree``, ``kind``, ``ulysses_degree`` (ranks that share heads: 1 in a ring), ``est_ms``,
    ``tokens`` (padded), ``max_tokens`` (what its memory holds), ``cu_seqlens`` and ``seqs``, each
    with ``sample_id``, ``len``, ``padded_len`` and ``offset``. Offsets and ``cu_seqlens`` count
    padded tokens from the start of the group's row.

    Parameters
    ----------
    problem, plan
    step : int
        The number of the training step.
    sample_ids : sequence of int, optional
        The trainer's number of each sequence; 0, 1, ... by default.
    bound : float, optional
        A lower bound on the step in ms that has been proven, by default that of areas.

    Raises
    ------
    UsageError
        Where a sequence does not split evenly over the ranks of its group, for ids that are not
        one for each sequence, for a bound above the plan, and for a step below 0.
    InstanceError
        For a plan that does not belong to the problem.
    """
    batches = micro_batches(problem, plan)
    check_divides(batches, lambda group: group.degree)
    names = sample_names(problem, sample_ids)
    objective = math.fsum(batch.ms for batch in batches)
    if step < 0:
        raise UsageError(f"step {step}: expected 0 or more")
    lower = step_bound(problem) * problem.tick if bound is None else bound
    if not 0 <= lower <= objective:
        raise UsageError(f"bound {lower} ms; expected 0 to {objective} ms, the step of the plan")
    return lines_of(
        {
            "format": "sequence-plan",
            "version": VERSION,
            "cost_model_hash": cost_hash(problem),
            "world_size": problem.n_ranks,
            "step": step,
            "objective_ms": objective,
            "lower_bound_ms": lower,
            "bound_scope": "step",
            "loss_norm": "per_token",
            "loss_tokens": int(problem.lengths.sum()),
            "micro_batches": [
                _micro_batch(number, batch, names) for number, batch in enumerate(batches)
            ],
            "process_groups": [list(one) for one in ranges_of(batches)],
        }
    )


def _micro_batch(number: int, batch: MicroBatch, names: list[int]) -> dict[str, Any]:
    return {
        "id": number,
        "est_ms": batch.ms,
        "idle_ranks": list(batch.idle_ranks),
        "groups": [_group(group, names) for group in batch.groups],
    }


def _group(group: Group, names: list[int]) -> dict[str, Any]:
    offsets = group.cu_seqlens.tolist()
    rows = zip(
        group.members.tolist(), group.lengths.tolist(), group.padded.tolist(), offsets, strict=False
    )
    return {
        "ranks": [group.first_rank, group.degree],
        "degree": group.degree,
        "kind": group.kind,
        "ulysses_degree": group.degree if group.kind == ULYSSES else 1,
        "est_ms": group.ms,
        "tokens": group.tokens,
        "max_tokens": group.max_tokens,
        "cu_seqlens": offsets,
        "seqs": [
            {"sample_id": names[k], "len": length, "padded_len": padded, "offset": offset}
            for k, length, padded, offset in rows
        ],
    }
