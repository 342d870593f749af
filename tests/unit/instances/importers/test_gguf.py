from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError
from mapc.instances.importers.gguf import GgufFile


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def value(x: Any) -> bytes:
    """A value with its type before it."""
    if isinstance(x, bool):
        return struct.pack("<I?", 7, x)
    if isinstance(x, int):
        return struct.pack("<II", 4, x)
    if isinstance(x, float):
        return struct.pack("<Id", 12, x)
    if isinstance(x, str):
        return struct.pack("<I", 8) + string(x)
    inner = value(x[0])[:4]
    return (
        struct.pack("<I", 9) + inner + struct.pack("<Q", len(x)) + b"".join(value(y)[4:] for y in x)
    )


TYPES = {np.dtype("f4"): 0, np.dtype("f2"): 1, np.dtype("f8"): 28, np.dtype("u2"): 30}


def gguf(metadata: dict[str, Any], tensors: dict[str, np.ndarray], version: int = 3) -> bytes:
    alignment = metadata.get("general.alignment") or 32
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(string(key) + value(x) for key, x in metadata.items())
    body = b""
    for name, array in tensors.items():
        body += b"\0" * (-len(body) % alignment)
        head += string(name) + struct.pack("<I", array.ndim)
        head += b"".join(struct.pack("<Q", d) for d in array.shape[::-1])
        head += struct.pack("<IQ", TYPES[array.dtype], len(body))
        body += array.tobytes()
    return head + b"\0" * (-len(head) % alignment) + body


METADATA: dict[str, Any] = {
    "general.type": "imatrix",
    "general.alignment": 64,
    "flag": True,
    "scale": 0.5,
    "names": ["a", "bc"],
    "sizes": [1, 2, 3],
}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "x.gguf"
    path.write_bytes(data)
    return path


def test_metadata_and_tensors_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    floats = rng.normal(size=(3, 5)).astype(np.float32)
    tensors = {
        "single": floats,
        "half": floats.astype(np.float16),
        "double": floats.astype(np.float64),
        "brain": (floats.view(np.uint32) >> 16).astype(np.uint16),
        "stack": rng.normal(size=(2, 3, 4)).astype(np.float32),
    }
    for version in (2, 3):
        file = GgufFile(written(tmp_path, gguf(METADATA, tensors, version)))
        assert file.metadata == METADATA
        assert list(file.tensors) == list(tensors)
        for name in ("single", "half", "double", "stack"):
            assert np.array_equal(file.array(name), tensors[name])
        brain = (floats.view(np.uint32) & 0xFFFF0000).view(np.float32)
        assert np.array_equal(file.array("brain"), brain)


DATA = gguf(METADATA, {"w": np.ones((4, 8), dtype=np.float32)})


@pytest.mark.parametrize("length", range(0, len(DATA) - 1, 7))
def test_files_that_end_too_early_are_refused(tmp_path: Path, length: int) -> None:
    path = written(tmp_path, DATA[:length])
    with pytest.raises(InstanceError) as caught:
        GgufFile(path).array("w")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML" + DATA[4:], "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<I", 1) + DATA[8:], "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + DATA[8:], "version 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "1099511627776 entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<I", 99), "type 99"),
        (
            b"GGUF"
            + struct.pack("<IQQ", 3, 0, 1)
            + string("k")
            + struct.pack("<IIQ", 9, 9, 1)
            + b"\0" * 64,
            "value type 9",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 4, 2**60),
            "ends too early",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 8, 2**60),
            "ends too early",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + string("t") + struct.pack("<I", 9), "9 dimens"),
        (gguf({"general.alignment": 0}, {}), "general.alignment: 0"),
    ],
)
def test_garbage_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        GgufFile(written(tmp_path, data))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tensors_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    data = gguf({}, {"w": np.ones((4, 8), dtype=np.float32)})
    quantized = data.replace(struct.pack("<QQIQ", 8, 4, 0, 0), struct.pack("<QQIQ", 8, 4, 12, 0))
    assert quantized != data
    with pytest.raises(InstanceError, match="tensor 'w': type 12, quantized"):
        GgufFile(written(tmp_path, quantized)).array("w")
    beyond = data.replace(struct.pack("<QQIQ", 8, 4, 0, 0), struct.pack("<QQIQ", 8, 2**61, 0, 0))
    with pytest.raises(InstanceError, match="tensor 'w': reaches beyond the end"):
        GgufFile(written(tmp_path, beyond)).array("w")
    with pytest.raises(InstanceError, match="tensor 'v': no such tensor"):
        GgufFile(written(tmp_path, data)).array("v")
    with pytest.raises(InstanceError, match="cannot be read"):
        GgufFile(tmp_path / "none.gguf")


def test_a_name_counts_once(tmp_path: Path) -> None:
    data = gguf({}, {"a": np.ones(1, dtype=np.float32), "b": np.ones(1, dtype=np.float32)})
    with pytest.raises(InstanceError, match="a tensor name is used twice"):
        GgufFile(written(tmp_path, data.replace(string("b"), string("a"))))
