"""Megatron-LM: who computes which samples in every micro-batch of dynamic context parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mapc.deploy.steps import (
    Group,
    MicroBatch,
    check_divides,
    lines_of,
    micro_batches,
    sample_names,
)
from mapc.errors import UsageError
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import RING, SequenceProblem


def export(
    problem: SequenceProblem,
    plan: SequencePlan,
    *,
    sample_ids: Sequence[int] | None = None,
) -> str:
    """Return, for every micro-batch and rank of data times context parallelism, what it computes.

    ``sample_id_groups[m][r]``, as Megatron's packing schedulers hand it to what reroutes samples,
    holds the samples of rank r in micro-batch m, the same for all ranks of a group. ``groups[m]``
    has what ``PackedSeqParams`` need, and ``group_of_rank[m][r]`` says which of them is a rank's,
    -1 for an idle one: ``ranks`` ([start, length]), ``local_cp_size``, ``sample_ids``,
    ``cu_seqlens`` (of true lengths), ``cu_seqlens_padded`` and ``max_seqlen`` (the longest padded
    length), which count tokens of the whole group: Megatron gives each rank its part of every
    sequence, two chunks of 2 * local_cp_size. ``idle_ranks[m]`` need a placeholder with an empty
    loss mask, for every rank runs every micro-batch.

    Flags: ``--dynamic-context-parallel --calculate-per-token-loss`` and
    ``--max-seqlen-per-dp-cp-rank`` as in the file.

    Parameters
    ----------
    problem, plan
    sample_ids : sequence of int, optional
        The trainer's number of each sequence; 0, 1, ... by default.

    Raises
    ------
    UsageError
        Where a padded length is no multiple of 2 * local_cp_size, and for ids that are not one for
        each sequence.
    InstanceError
        For a plan that does not belong to the problem.
    """
    batches = micro_batches(problem, plan)
    check_divides(batches, lambda group: 2 * group.degree if group.degree > 1 else 1)
    names = sample_names(problem, sample_ids)
    kinds = sorted({g.kind for batch in batches for g in batch.groups if g.degree > 1})
    if len(kinds) > 1:
        raise UsageError(
            "groups of two kinds, Megatron has one --cp-comm-type for all; expected a problem "
            "with one kind"
        )
    per_rank = [group.max_tokens // group.degree for batch in batches for group in batch.groups]
    return lines_of(
        {
            "format": "megatron-dynamic-cp",
            "version": 1,
            "world_size": problem.n_ranks,
            "num_micro_batches": len(batches),
            "cp_comm_type": "p2p" if kinds == [RING] else "a2a",
            "max_seqlen_per_dp_cp_rank": max(per_rank),
            "calculate_per_token_loss": True,
            "sample_id_groups": [_samples(batch, problem.n_ranks, names) for batch in batches],
            "group_of_rank": [_groups_of_ranks(batch, problem.n_ranks) for batch in batches],
            "idle_ranks": [list(batch.idle_ranks) for batch in batches],
            "groups": [[_group(group, names) for group in batch.groups] for batch in batches],
        }
    )


def _samples(batch: MicroBatch, n_ranks: int, names: list[int]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(n_ranks)]
    for group in batch.groups:
        samples = [names[k] for k in group.members.tolist()]
        for rank in group.ranks:
            found[rank] = samples
    return found


def _groups_of_ranks(batch: MicroBatch, n_ranks: int) -> list[int]:
    found = [-1] * n_ranks
    for number, group in enumerate(batch.groups):
        found[group.first_rank : group.first_rank + group.degree] = [number] * group.degree
    return found


def _group(group: Group, names: list[int]) -> dict[str, Any]:
    true = [0, *group.lengths.cumsum().tolist()]
    return {
        "ranks": [group.first_rank, group.degree],
        "local_cp_size": group.degree,
        "max_seqlen": int(group.padded.max()),
        "sample_ids": [names[k] for k in group.members.tolist()],
        "cu_seqlens": true,
        "cu_seqlens_padded": group.cu_seqlens.tolist(),
    }
