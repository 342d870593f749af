"""Journals: what is written is there whatever happens next, and half a line is nobody's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.quality import journal as module
from mapc.quality.index import Source
from mapc.quality.journal import BEGINNING, Journal, encode_line, read_records
from mapc.quality.machine import versions
from mapc.quality.running import Record, Task

TASK = Task(kind="bits", name="a", sha256="0" * 64, source=Source(generate={"groups": 4}), best=7)
RECORD = Record(
    kind="bits",
    name="a",
    sha256="0" * 64,
    best=7,
    status="optimal",
    objective=7,
    bound=7,
    gap=0.0,
    versions=versions(),
)


def named(name: str) -> Record:
    return msgspec.structs.replace(RECORD, name=name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def test_records_are_there_again(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(named("a"))
        assert read_records(path) == [named("a")]
        journal.append(named("b"))
    with Journal(path) as journal:
        assert journal.records == [named("a"), named("b")]
        journal.append(named("c"))
    assert [one.name for one in read_records(path)] == ["a", "b", "c"]


def test_every_line_begins_as_half_a_line_is_known_by() -> None:
    assert encode_line(RECORD).startswith(BEGINNING)


@pytest.mark.parametrize("length", [1, 10, len(BEGINNING), 100, len(encode_line(RECORD)) - 1])
def test_half_a_line_at_the_end_is_dropped(path: Path, length: int) -> None:
    path.write_bytes(encode_line(named("a")) + encode_line(named("b"))[:length])
    assert read_records(path) == [named("a")]
    with Journal(path) as journal:
        assert journal.records == [named("a")]
        journal.append(named("c"))
    assert path.read_bytes() == encode_line(named("a")) + encode_line(named("c"))


@pytest.mark.parametrize("data", [b"{}\n", b'{"instances": []}', b"hello", b"\x00\x01\n"])
def test_the_file_of_somebody_else_is_left_alone(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(InstanceError, match=r"out\.jsonl: line 1: "), Journal(path):
        pass
    assert path.read_bytes() == data


def test_a_broken_line_in_the_middle_is_named(path: Path) -> None:
    data = encode_line(RECORD) + encode_line(RECORD)[:50] + b"\n" + encode_line(RECORD)
    path.write_bytes(data)
    with pytest.raises(InstanceError, match="line 2"):
        read_records(path)
    with pytest.raises(InstanceError, match="line 2"), Journal(path):
        pass
    assert path.read_bytes() == data


def test_two_runs_do_not_write_one_file(path: Path) -> None:
    with Journal(path), pytest.raises(UsageError, match="another run writes it"), Journal(path):
        pass
    with Journal(path) as journal:
        journal.append(RECORD)


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"), Journal(tmp_path):
        pass


def test_a_task_is_done_if_all_it_asks_for_is_the_same(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(RECORD)
        assert journal.done([TASK]) == {0: RECORD}
        changes = {
            "kind": "memory",
            "name": "b",
            "sha256": "1" * 64,
            "best": 6,
            "seed": 1,
            "time_limit": 5.0,
            "methods": ("greedy",),
            "backends": ("highs",),
            "workers": 2,
        }
        others = [msgspec.structs.replace(TASK, **{k: v}) for k, v in changes.items()]
        assert journal.done([*others, TASK]) == {len(others): RECORD}


def test_a_failed_record_is_tried_again_and_the_last_one_counts(path: Path) -> None:
    better = msgspec.structs.replace(RECORD, seconds=2.0)
    with Journal(path) as journal:
        journal.append(msgspec.structs.replace(RECORD, status="failed", error="its worker died"))
        assert journal.done([TASK]) == {}
        journal.append(RECORD)
        journal.append(better)
        assert journal.done([TASK]) == {0: better}


def test_a_record_of_another_version_is_not_todays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(path) as journal:
        journal.append(RECORD)
        monkeypatch.setattr(module, "versions", lambda: {**versions(), "ortools": "0"})
        assert journal.done([TASK]) == {}
        monkeypatch.setattr(module, "versions", lambda: {**versions(), "numpy": "0"})
        assert journal.done([TASK]) == {0: RECORD}
