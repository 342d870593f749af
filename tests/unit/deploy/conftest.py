"""Plans that say which format every group gets, without anything being solved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

Build = Callable[..., tuple[BitsProblem, BitsPlan]]


def _build(
    chosen: Mapping[str, str], provenance: Mapping[str, Any] | None = None
) -> tuple[BitsProblem, BitsPlan]:
    """Return a problem in which every group has all formats, and the plan that takes ``chosen``."""
    groups, formats = tuple(chosen), tuple(dict.fromkeys(chosen.values()))
    n, f = len(groups), len(formats)
    problem = BitsProblem(
        name="toy",
        groups=groups,
        formats=formats,
        start=np.arange(0, n * f + 1, f, dtype=np.int64),
        format_of=np.tile(np.arange(f, dtype=np.int64), n),
        loss=np.zeros(n * f),
        resources=("size",),
        units=("bit",),
        cost=np.ones((1, n * f), dtype=np.int64),
        budget=(None,),
        weights=np.ones(n, dtype=np.int64),
        allowed=np.ones(n * f, dtype=np.bool_),
        provenance=provenance or {},
    )
    option = [f * at + formats.index(name) for at, name in enumerate(chosen.values())]
    return problem, BitsPlan(np.array(option, dtype=np.int64))


@pytest.fixture
def build() -> Build:
    return _build
