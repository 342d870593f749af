from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mapc.errors import InstanceError
from mapc.instances.importers.arrays import MAX_COUNT, read_arrays, whole_numbers, zip_members


@settings(max_examples=40)
@given(
    st.sampled_from(["int8", "int64", "uint16", "float32", "bool"]).flatmap(
        lambda name: arrays(name, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    st.booleans(),
)
def test_what_numpy_saves_is_read(tmp_path_factory: Any, array: Any, fortran: bool) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    array = np.asfortranarray(array) if fortran and array.ndim else array
    np.savez_compressed(folder / "f.npz", one=array, two=np.zeros(2))
    np.save(folder / "f.npy", array)
    for found in (read_arrays(folder / "f.npz")["one"], read_arrays(folder / "f.npy")[""]):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


def header(shape: str, size: int, descr: str = "'<i8'") -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(1, dtype=np.int64))
    whole = file.getvalue()
    text = whole[10:128].replace(b"(1,)", shape.encode()).replace(b"'<i8'", descr.encode())
    return whole[:10] + text.rstrip(b"\n")[:117].ljust(117) + b"\n" + bytes(size)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez(path, one=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InstanceError, match="array 'one': an array of object; expected numbers"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header("(1,)", 8)[:40], "damaged header"),
        (header("(9999999999, 9999999999)", 8), "8 bytes; expected what shape"),
        (header("(-1,)", 8), "8 bytes; expected what shape"),
        (header("(2,)", 8), "8 bytes; expected what shape (2,) of int64 takes"),
        (header("(1,)", 8, "'<U2'"), "an array of <U2; expected numbers"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "damaged header"),
        (b"PK\x03\x04", "damaged: File is not a zip file"),
        (b"something", "neither .npy nor .npz; expected arrays saved by NumPy"),
        (b"", "empty file"),
    ],
)
def test_damaged_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "f.npz"
    path.write_bytes(data)
    with pytest.raises(InstanceError) as caught:
        read_arrays(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_header_that_fits_is_read(tmp_path: Path) -> None:
    """The helper above makes files that are wrong for one reason only."""
    path = tmp_path / "f.npy"
    path.write_bytes(header("(1,)", 8))
    assert read_arrays(path)[""].tolist() == [0]


def test_archives_are_measured_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.npy", bytes(10_000))
    assert len(zip_members(file.getvalue(), "f")["a.npy"]()) == 10_000
    monkeypatch.setattr("mapc.instances.importers.arrays.MAX_MODEL_BYTES", 9_999)
    with pytest.raises(InstanceError, match="f: unpacks to too much; expected at most 9999 bytes"):
        zip_members(file.getvalue(), "f")


def test_a_member_whose_bytes_are_damaged() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("a", b"something")
    member = zip_members(file.getvalue().replace(b"something", b"someth1ng"), "f")["a"]
    with pytest.raises(InstanceError, match="f: a: damaged: Bad CRC-32"):
        member()


def test_an_archive_without_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as target:
        target.writestr("readme.txt", "nothing")
    with pytest.raises(InstanceError, match="no arrays; expected arrays saved by NumPy"):
        read_arrays(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3]], "t: lists of unequal length; expected a full table"),
        ([[1, float("nan")]], "t[0, 1]: nan; expected a whole number 0 to"),
        ([1.5], "t[0]: 1.5; expected a whole number"),
        ([0, -1], "t[1]: -1; expected a whole number"),
        ([MAX_COUNT + 1], f"expected a whole number 0 to {MAX_COUNT}"),
        ([float("inf")], "t[0]: inf"),
        (["a"], "t: a; expected numbers"),
        ([2**70], "expected numbers"),
    ],
)
def test_numbers_that_are_none(values: Any, message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        whole_numbers(values, "t")
    assert message in str(caught.value)


def test_whole_floats_are_whole_numbers() -> None:
    found = whole_numbers([[1.0, 2.0]], "t")
    assert (found.tolist(), found.dtype) == ([[1, 2]], np.int64)
    assert whole_numbers([], "t").size == 0
