from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError
from mapc.instances.importers import import_tensorrt_llm

DTYPES = {"int32": "I32", "int64": "I64", "float32": "F32"}


def save(path: Path, tensors: dict[str, Any]) -> None:
    header, body = {}, b""
    for name, values in tensors.items():
        array = np.asarray(values, dtype=np.int32) if isinstance(values, list) else values
        data = array.tobytes()
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    meta = {"num_experts": 4, "num_experts_per_token": 2, "hidden": 9}
    (tmp_path / "meta_info.json").write_text(json.dumps(meta))
    save(tmp_path / "rank0.safetensors", {"50_3": [1, 2, 3, 4], "50_5": [1, 1, 1, 1]})
    more = {"51_3": np.array([0, 0, 0, 7]), "51_5": [4, 0, 0, 0]}
    save(tmp_path / "rank1.safetensors", {**more, "50_3": [1, 0, 0, 0]})
    return tmp_path


def test_ranks_and_iterations_add_up(folder: Path) -> None:
    save(folder / "rank0_raw.safetensors", {"50_3": np.zeros((2, 2), dtype=np.int32)})
    problem = import_tensorrt_llm(folder, ranks=2, model_layers=8)
    assert problem.counts.tolist() == [[[2, 2, 3, 11], [5, 1, 1, 1]]]
    assert (problem.layer_ids.tolist(), problem.model_layers) == ([3, 5], 8)
    assert problem.top_k == 2
    assert problem.name == folder.name


@pytest.mark.parametrize(
    ("name", "tensors", "message"),
    [
        ("rank0.safetensors", {"50": [1, 2, 3, 4]}, "tensor '50': no such key; expected <iter"),
        ("rank0.safetensors", {"50_3": [1, 2]}, "shape (2,); expected <iteration>_<layer> of 4"),
        ("rank0.safetensors", {"50_3": [1, 2, 3, -4]}, "tensor '50_3'[3]: -4; expected a whole"),
        ("meta_info.json", {}, "num_experts"),
        ("meta_info.json", {"num_experts": 0}, "num_experts: 0; expected 1 to 16384"),
    ],
)
def test_malformed(folder: Path, name: str, tensors: Any, message: str) -> None:
    if name.endswith(".json"):
        (folder / name).write_text(json.dumps(tensors))
    else:
        save(folder / name, tensors)
    with pytest.raises(InstanceError) as caught:
        import_tensorrt_llm(folder, ranks=1)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder))


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(InstanceError, match=r"meta_info.json: cannot be read: No such file"):
        import_tensorrt_llm(folder / "nowhere", ranks=1)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InstanceError, match=r"no rank\*.safetensors; expected statistics of"):
        import_tensorrt_llm(folder, ranks=1)
    save(folder / "rank0.safetensors", {"x": np.zeros(4, dtype=np.float32)})
    with pytest.raises(InstanceError, match="no tensors; expected statistics of some iterations"):
        import_tensorrt_llm(folder, ranks=1)
