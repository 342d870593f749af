from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mapc.errors import InstanceError
from mapc.instances.importers import import_vllm

FIRST = {
    "record_type": "eplb_load_stats",
    "version": 1,
    "step": 7,
    "num_ranks": 2,
    "expert_load": [[5, 1, 2, 3], [1, 1, 1, 4]],
    "p2l_map": [[0, 1, 2, 0], [1, 2, 0, 1]],
}
SECOND = {**FIRST, "expert_load": [[1, 0, 0, 0], [0, 0, 0, 1]], "p2l_map": [[2, 1, 0, 1]] * 2}
OTHER = {"record_type": "eplb_initial_mapping", "version": 1, "num_slots": 4}


def write(folder: Path, *records: Any) -> Path:
    path = folder / "stats.jsonl"
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_loads_of_slots_become_loads_of_experts(tmp_path: Path) -> None:
    problem = import_vllm(write(tmp_path, OTHER, FIRST, "", SECOND), ranks=2)
    assert problem.counts.tolist() == [[[8, 1, 3], [1, 6, 1]]]
    assert problem.slots == 2
    assert problem.current is not None
    assert problem.current.tolist() == [[[2, 1], [0, 1]]] * 2  # of the last record


def test_an_empty_slot_has_no_load(tmp_path: Path) -> None:
    empty = {**FIRST, "p2l_map": [[0, 1, 2, -1], [1, 2, 0, -1]]}
    assert import_vllm(write(tmp_path, empty), ranks=1).counts.tolist() == [[[5, 1, 2], [1, 1, 1]]]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([OTHER], "no eplb_load_stats records; expected load statistics of vLLM"),
        (["{"], "line 1: malformed JSON"),
        (["[1]"], "line 1: $: Expected `object`, got `array`"),
        ([FIRST, {**FIRST, "version": 2}], "line 2: version 2; expected 1"),
        ([{**FIRST, "expert_load": [[1]]}], "line 1: shapes (1, 1) and (2, 4); expected [layers"),
        ([{**FIRST, "expert_load": []}], "line 1: shapes (0,) and (2, 4)"),
        ([{**FIRST, "expert_load": [[1.5] * 4] * 2}], "line 1: expert_load[0, 0]: 1.5; expected"),
        ([{**FIRST, "p2l_map": [[-2] * 4] * 2}], "line 1: p2l_map[0, 0]: -2; expected a whole"),
        ([{**FIRST, "p2l_map": [[1, 2], [1]]}], "line 1: p2l_map: lists of unequal length"),
        (
            [FIRST, {**FIRST, "expert_load": [[1, 1, 1]], "p2l_map": [[0, 1, 2]]}],
            "records of different shape; expected those of one model",
        ),
        ([{**FIRST, "p2l_map": [[-1] * 4] * 2}], "counts: no tokens in any layer"),
    ],
)
def test_malformed(tmp_path: Path, records: Any, message: str) -> None:
    path = write(tmp_path, *records)
    with pytest.raises(InstanceError) as caught:
        import_vllm(path, ranks=1)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
