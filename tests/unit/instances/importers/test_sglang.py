from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.instances.importers import import_sglang
from mapc.models.placement.problem import CHAIN, HOME
from oracles.torch_files import torch_bytes

# four experts on 2 ranks of 3 slots, two layers after a dense one; expert 0 and then 3 twice
SLOTS = [[0, 1, 2, 3, 0, 1], [0, 1, 2, 3, 0, 2], [3, 2, 1, 0, 3, 2]]
STAT = np.arange(2 * 3 * 4, dtype=np.int32).reshape(2, 3, 4) * np.array([0, 1, 1])[:, None]


def write(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.write_bytes(value if isinstance(value, bytes) else torch_bytes(value))
    return path


def dump(*records: Any, slots: Any = SLOTS) -> dict[str, Any]:
    return {
        "records": list(records),
        "last_physical_to_logical_map": np.array(slots, dtype=np.int64),
    }


def record(ids: Any, mode: int = 1, rank: int = 0) -> dict[str, Any]:
    array = np.array(ids, dtype=np.int32)
    return {
        "forward_pass_id": 7,
        "rank": rank,
        "gatherer_key": "primary",
        "input_ids": list(range(array.shape[1])),
        "forward_mode": mode,
        "topk_ids_of_layer": array,
        "misc_objects": [],
        "global_physical_count": np.zeros((3, 6), dtype=np.int32),
    }


NONE = [[-1, -1], [-1, -1]]
# two tokens; slots 4 and 5 of layer 1 are experts 0 and 2, of layer 2 experts 3 and 2
PREFILL = record([NONE, [[4, 1], [5, 3]], [[0, 1], [4, 3]]])
DECODE = record([NONE[:1], [[0, 1]], [[2, 3]]], mode=2)


def test_stat(tmp_path: Path) -> None:
    value = {"rank": 0, "logical_count": STAT, "average_utilization_rate_over_window": None}
    problem = import_sglang(write(tmp_path, "dump.pt", value), ranks=2)
    assert problem.counts.tolist() == [(STAT[0] + STAT[1])[1:].tolist()]
    assert (problem.layer_ids.tolist(), problem.model_layers) == ([1, 2], 3)
    for counts in (STAT, STAT.sum(axis=0)):
        text = json.dumps({"logical_count": counts.tolist()}).encode()
        again = import_sglang(write(tmp_path, "dump.json", text), ranks=2)
        assert np.array_equal(again.counts, problem.counts)


def test_slots_are_turned_back_into_experts(tmp_path: Path) -> None:
    path = write(tmp_path, "dump.pt", dump(PREFILL, DECODE, PREFILL))
    problem = import_sglang(path, profile=["all"], ranks=2, traffic=CHAIN)
    assert problem.profiles == ("prefill", "decode")
    assert problem.counts.tolist() == [
        [[2, 2, 2, 2], [2, 0, 2, 4]],
        [[1, 1, 0, 0], [1, 1, 0, 0]],
    ]
    assert (problem.top_k, problem.layer_ids.tolist()) == (2, [1, 2])
    assert problem.transitions is not None
    # the first token goes from 0 and 1 to 3 and 2, the second from 2 and 3 to 3 and 0; twice
    assert problem.transitions[0, 0].tolist() == [
        [0, 0, 2, 2],
        [0, 0, 2, 2],
        [2, 0, 0, 2],
        [2, 0, 0, 2],
    ]
    assert problem.transitions[1, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_the_recorded_map_is_the_placement_in_force_where_it_fits(tmp_path: Path) -> None:
    path = write(tmp_path, "dump.pt", dump(PREFILL))
    problem = import_sglang(path, ranks=2, max_moves="25%")
    assert problem.slots == 3
    assert problem.current is not None
    assert problem.current.tolist() == [[[0, 1, 2], [3, 0, 2]], [[3, 2, 1], [0, 3, 2]]]
    assert problem.max_moves == 3  # of 2 layers x 6 slots
    other = import_sglang(path, ranks=4)  # 6 slots do not make 4 ranks
    assert (other.current, other.slots) == (None, 1)
    more = import_sglang(path, ranks=2, slots=4)
    assert (more.current, more.slots) == (None, 4)


def test_second_copies_on_a_rank_count_as_lost(tmp_path: Path) -> None:
    slots = [[0, 1, 2, 3, 0, 1], [3, 1, 3, 2, 0, 2], SLOTS[2]]
    problem = import_sglang(write(tmp_path, "dump.pt", dump(PREFILL, slots=slots)), ranks=2)
    assert problem.current is not None
    assert problem.current[0].tolist() == [[3, 1, -1], [2, 0, -1]]


def test_passes_without_tokens_of_their_own(tmp_path: Path) -> None:
    loads = np.array([[0] * 6, [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]], dtype=np.int32)
    one = {"forward_pass_id": 0, "rank": 0, "global_physical_count": loads}
    problem = import_sglang(write(tmp_path, "dump.pt", dump(one, one)), ranks=2)
    assert problem.profiles == ("recorded",)
    assert problem.counts.tolist() == [[[12, 4, 18, 8], [6, 8, 12, 16]]]


def test_the_dumps_of_all_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    other = {**PREFILL, "rank": 1}
    write(folder, "recorder_1.0_0.pt", dump(PREFILL))
    write(folder, "recorder_1.0_1.pt", dump(other, other))
    problem = import_sglang(folder, ranks=2, traffic=HOME)
    assert problem.counts[0, 0].tolist() == [3, 3, 3, 3]
    assert problem.sources is not None
    assert problem.sources[0, 0].tolist() == [[1, 1, 1, 1], [2, 2, 2, 2]]
    alone = import_sglang(folder / "recorder_1.0_0.pt", ranks=2, traffic=HOME)
    assert alone.sources is None  # nothing is known of other ranks
    with pytest.raises(InstanceError, match="records: tokens of rank 1; expected ranks 0 to 0"):
        import_sglang(folder, ranks=1, slots=4, traffic=HOME)
    write(folder, "recorder_1.0_2.pt", dump(PREFILL, slots=SLOTS[::-1]))
    with pytest.raises(InstanceError, match="last_physical_to_logical_map: differs between the"):
        import_sglang(folder, ranks=2)


def test_one_profile_has_to_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, "dump.pt", dump(PREFILL, DECODE))
    with pytest.raises(
        UsageError, match="2 profiles; expected --profile all, or some of prefill, d"
    ):
        import_sglang(path, ranks=2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"PK\x03\x04", "damaged: File is not a zip file"),
        (b"\x80\x02}q\x00.", "neither of torch.save nor JSON; expected a dump of the recorder"),
        (b"[1]", "neither of torch.save nor JSON"),
        (b'{"logical_count": 3}', "logical_count: shape (); expected [steps, layers, experts]"),
        (b'{"logical_count": [[1, -1]]}', "logical_count[0, 1]: -1; expected a whole number"),
        (b'{"logical_count": [[1], [1, 2]]}', "logical_count: lists of unequal length"),
        (b"{}", "no recorded loads; expected logical_count, or records with"),
        ([1], "a list; expected logical_count"),
        ({"records": []}, "no recorded loads"),
        (dump(), "records: none; expected one for each forward pass"),
        (dump(3), "records: no list; expected one for each forward pass"),
        (dump(PREFILL, slots=[0, 1]), "last_physical_to_logical_map: shape (2,); expected [layers"),
        (dump(PREFILL, slots=[[-2]]), "last_physical_to_logical_map[0, 0]: -2; expected a whole"),
        (dump(PREFILL, slots=SLOTS[1:]), "topk_ids_of_layer: shape (3, 2, 2); expected [2 layers"),
        (dump({**PREFILL, "rank": -1}), "records[0].rank: -1; expected a number >= 0"),
        (dump({"rank": 0}), "records[0].global_physical_count: missing; expected loads of all"),
        (dump(record([[[6]], [[0]], [[0]]])), "topk_ids_of_layer[0, 0, 0]: 6; expected a whole"),
        (dump(record([NONE, NONE, NONE])), "records: no tokens; expected a recording of some"),
        (dump(PREFILL, record([[[1]], [[1]], [[1]]])), "topk_ids_of_layer: shape (3, 1, 1)"),
    ],
)
def test_malformed(tmp_path: Path, value: Any, message: str) -> None:
    path = write(tmp_path, "dump.pt", value)
    with pytest.raises(InstanceError) as caught:
        import_sglang(path, ranks=2)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=r"0 \.pt files; expected 1 to 4096"):
        import_sglang(tmp_path, ranks=2)


def test_dumps_that_torch_itself_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        if isinstance(value, list):
            return [tensors(item) for item in value]
        return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value

    torch.save(tensors(dump(PREFILL, DECODE)), tmp_path / "dump.pt")
    found = import_sglang(tmp_path / "dump.pt", profile=["all"], ranks=2, traffic=CHAIN)
    plain = write(tmp_path, "plain.pt", dump(PREFILL, DECODE))
    expected = import_sglang(plain, profile=["all"], ranks=2, traffic=CHAIN)
    assert np.array_equal(found.counts, expected.counts)
    assert np.array_equal(found.transitions, expected.transitions)
    assert np.array_equal(found.current, expected.current)
    torch.save({"logical_count": tensors(STAT)}, tmp_path / "stat.pt")
    assert import_sglang(tmp_path / "stat.pt", ranks=2).counts.sum() == STAT.sum()
