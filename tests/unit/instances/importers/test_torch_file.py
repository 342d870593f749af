from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mapc.errors import InstanceError
from mapc.instances.importers.torch_file import load_torch
from oracles.torch_files import STORAGES, archive, torch_bytes

SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8)
TENSORS = st.sampled_from(sorted(STORAGES)).flatmap(
    lambda name: arrays(name, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False) | TENSORS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        alike = a.dtype == b.dtype and a.shape == b.shape
        return alike and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@settings(max_examples=60)
@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    assert same(value, load_torch(torch_bytes({"it": value}), "f")["it"])


@settings(max_examples=30)
@given(st.binary(max_size=80))
def test_any_pickle_is_read_or_refused(data: bytes) -> None:
    # any other error than that of bad input would come through
    with contextlib.suppress(InstanceError):
        load_torch(archive(b"\x80\x02" + data, {}), "f")


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nothing_is_ever_called(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "made"
    pickled = pickle.dumps({"logical_count": Attack(target)}, protocol=protocol)
    with pytest.raises(InstanceError, match=r"f: data.pkl: .*expected plain containers"):
        load_torch(archive(pickled, {}), "f")
    assert not target.exists()
    pickle.loads(pickled)
    assert target.exists()  # the file would have done it


TENSOR = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(("
    b"X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK%btQ"
    b"K%b(K%bt(K%bt\x89ccollections\nOrderedDict\n)RtR."
)


def tensor(stored: int, offset: int, size: int, stride: int) -> bytes:
    numbers = (struct.pack("B", x) for x in (stored, offset, size, stride))
    return TENSOR % tuple(numbers)


def test_views_of_a_storage() -> None:
    four = np.arange(4, dtype=np.int32).tobytes()
    assert load_torch(archive(tensor(4, 1, 2, 2), {"0": four}), "f").tolist() == [1, 3]
    assert load_torch(archive(tensor(4, 0, 0, 1), {"0": four}), "f").tolist() == []


@pytest.mark.parametrize(
    ("pickled", "storages", "message"),
    [
        (tensor(4, 0, 5, 1), {"0": bytes(16)}, "shape (5,); expected within 4 numbers"),
        (tensor(4, 3, 2, 1), {"0": bytes(16)}, "shape (2,); expected within 4 numbers"),
        (tensor(4, 0, 3, 2), {"0": bytes(16)}, "shape (3,); expected within 4 numbers"),
        (tensor(4, 0, 255, 0), {"0": bytes(16)}, "shape (255,); expected within 4 numbers"),
        (tensor(5, 0, 1, 1), {"0": bytes(16)}, "storage 0: 4 numbers; expected 5"),
        (tensor(4, 0, 1, 1), {}, "f: dump/data/0: missing"),
        (tensor(4, 0, 1, 1).replace(b"IntS", b"BFloat16S"), {}, "torch BFloat16Storage; expected"),
        (
            b"\x80\x02cposix\nsystem\n(X\x02\x00\x00\x00lstR.",
            {},
            "data.pkl: posix system; expected",
        ),
        (b"\x80\x02](K\x01", {}, "damaged pickle"),
        (b"\x80\x02K\x01K\x02.", {}, "damaged pickle"),
        (b"\x80\x02h\x07.", {}, "damaged pickle"),
        (b"\x80\x02](e", {}, "damaged pickle"),
        (b"\x80\x02]K\x01K\x02s.", {}, "damaged pickle"),
    ],
)
def test_malformed(pickled: bytes, storages: dict[str, bytes], message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        load_torch(archive(pickled, storages), "f")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_torch_file() -> None:
    with pytest.raises(InstanceError, match="f: damaged: File is not a zip file"):
        load_torch(b"PK\x03\x04 and no more", "f")
    with pytest.raises(InstanceError, match=r"f: no data.pkl; expected a file written by torch"):
        load_torch(archive(b"", {}).replace(b"data.pkl", b"atad.pkl"), "f")
    with pytest.raises(InstanceError, match="byte order b'big'; expected little endian"):
        load_torch(archive(b"\x80\x02N.", {}, order=b"big"), "f")


def test_files_of_torch_itself() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    base = torch.arange(24, dtype=torch.int32).reshape(2, 3, 4)
    value = {
        "whole": base,
        "view": base[1:, :, ::2].transpose(1, 2),
        "bool": base > 5,
        "empty": torch.zeros((0, 3), dtype=torch.float64),
        "nested": [{"a": (1, 2.5, None, True)}, "text", -(2**40)],
    }
    file = io.BytesIO()
    torch.save(value, file)
    found = load_torch(file.getvalue(), "f")
    for name in ("whole", "view", "bool", "empty"):
        assert same(value[name].contiguous().numpy(), found[name])
    assert same(value["nested"], found["nested"])
    torch.save({"a": torch.nn.Linear(1, 1)}, file := io.BytesIO())
    with pytest.raises(InstanceError, match=r"an object of torch.nn.modules.linear Linear"):
        load_torch(file.getvalue(), "f")
