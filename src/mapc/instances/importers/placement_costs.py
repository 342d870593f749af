"""What a step costs, from what is known of model and hardware.

With the sizes of the model and the speeds of the cluster, seconds: a (token, expert) pair takes
``6 * hidden * ffn`` floating-point operations (three matrices, two for each weight), an activated
expert its bytes from memory, and a moved token ``3 * hidden`` bytes (one for each value when it is
dispatched, in FP8, two when it comes back, in BF16).

With nothing of that, relative costs. Counts are scaled so that a layer whose load is perfectly
balanced costs 1, whatever the length of the recording, so that profiles weigh the same. A move
inside a node costs what the work of a token does, where the busiest rank counts; where transfers
add up over all ranks, each rank's average counts. Traces count raw tokens by the convention of the
project's measurements: 4 for the work of a token on the busiest rank, 1 for each move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.placement.problem import (
    BUSIEST,
    EQUAL,
    EXPECTED,
    NONE,
    SUM,
    FloatArray,
    StepTime,
)

if TYPE_CHECKING:
    from mapc.instances.importers.cluster_toml import Cluster

TRACE_TOKEN, TRACE_TRANSFER = 4.0, 1.0
"""Costs of the published measurements on the Mixtral trace."""
BALANCED, TOKENS, ACTIVATED, SECONDS = "balanced layers", "tokens", "activated experts", "s"
"""Units of a step time."""
_FIELDS = ("token", "expert", "layer", "transfer")


@dataclass(frozen=True)
class Wishes:
    """What was said about costs and traffic, as ``OPTIONS`` of ``placement_building`` explain it.

    Attributes
    ----------
    raw : bool
        Whether raw tokens are counted where nothing about hardware is known.
    """

    raw: bool = False
    traffic: str = NONE
    dispatch: str = EQUAL
    goal: str = EXPECTED
    links: str = SUM
    overlap: bool = False
    decode: bool = False
    hidden: int | None = None
    ffn: int | None = None
    expert_bytes: int = 0
    top_k: int | None = None
    batch_tokens: int | None = None
    cost: Sequence[str] = ()

    @property
    def seconds(self) -> bool:
        """Whether costs follow from the sizes of the model."""
        return self.hidden is not None or self.ffn is not None


def step_time(
    wishes: Wishes, cluster: Cluster, live: IntArray, counts: IntArray
) -> tuple[StepTime, FloatArray]:
    """Return costs and the tokens of a step per recorded token.

    Parameters
    ----------
    wishes : Wishes
    cluster : Cluster
    live : int64
        Ranks that hold experts.
    counts : int64[P, L, E]

    Returns
    -------
    StepTime, float64[P]

    Raises
    ------
    UsageError
        For costs that need what nobody said: the message names it.
    """
    paid = wishes.traffic != NONE
    mode = {"links": wishes.links, "overlap": wishes.overlap, "profiles": wishes.goal}
    if wishes.seconds:
        time = _hardware(wishes, cluster)
    elif wishes.decode:
        time = StepTime(token=0.0, expert=1.0, unit=ACTIVATED)
    elif wishes.raw:
        time = StepTime(token=TRACE_TOKEN, transfer=TRACE_TRANSFER, unit=TOKENS)
    else:
        transfer = 1.0 if wishes.links == BUSIEST else 1.0 / len(live)
        time = StepTime(token=1.0, transfer=transfer, unit=BALANCED)
    time = replace(time, **mode, transfer=time.transfer if paid else 0.0)  # type: ignore[arg-type]
    time = replace(time, **_overrides(wishes.cost))  # type: ignore[arg-type]
    return time, _scale(wishes, time, float(cluster.speed[live].sum()), counts)


def _hardware(wishes: Wishes, cluster: Cluster) -> StepTime:
    needs = {
        "--hidden": wishes.hidden,
        "--ffn": wishes.ffn,
        "--batch-tokens": wishes.batch_tokens,
        "--top-k": wishes.top_k,
        "flops in --cluster": cluster.flops,
    }
    if wishes.traffic != NONE:
        needs["bandwidths in --cluster"] = None if cluster.bandwidth is None else 1.0
    if wishes.decode:
        needs["--expert-bytes"] = wishes.expert_bytes or None
        needs["memory_bandwidth in --cluster"] = cluster.memory_bandwidth
    missing = [name for name, value in needs.items() if value is None]
    if missing:
        raise UsageError(f"a step in seconds needs {', '.join(missing)} as well")
    assert wishes.hidden
    assert wishes.ffn
    assert cluster.flops
    expert = wishes.expert_bytes / cluster.memory_bandwidth if cluster.memory_bandwidth else 0.0
    return StepTime(
        token=6.0 * wishes.hidden * wishes.ffn / cluster.flops,
        expert=expert if wishes.decode else 0.0,
        transfer=3.0 * wishes.hidden,
        unit=SECONDS,
    )


def _overrides(texts: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if name not in _FIELDS or not equals or not 0 <= number < math.inf:
            raise UsageError(
                f"--cost {text[:60]!r}: expected {' or '.join(_FIELDS)} = a number >= 0, "
                "e.g. transfer=0.5"
            )
        found[name] = number
    return found


def _scale(wishes: Wishes, time: StepTime, speed: float, counts: IntArray) -> FloatArray:
    recorded = counts.sum(axis=(1, 2)) / counts.shape[1]  # pairs of a layer, on average
    if wishes.batch_tokens is not None:
        if wishes.top_k is None:
            raise UsageError("--batch-tokens: needs --top-k, the experts of a token")
        return np.asarray(wishes.batch_tokens * wishes.top_k / recorded)
    if time.expert:
        raise UsageError("activated experts depend on the batch: needs --batch-tokens and --top-k")
    if time.unit == BALANCED:
        return np.asarray(speed / recorded)
    return np.ones(len(counts))
