"""Expert statistics of TensorRT-LLM: what it leaves in ``EXPERT_STATISTIC_PATH``.

``meta_info.json`` with ``num_experts`` and ``num_experts_per_token``, and for each rank
``rank<r>.safetensors`` with the tokens of every expert, int[experts], under
``<iteration>_<layer>``. Layers have their index in the model. The files of raw routes beside them
are not read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Unpack

import msgspec
import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.instances import schema
from mapc.instances.importers.arrays import whole_numbers
from mapc.instances.importers.placement_building import Building, build
from mapc.instances.importers.recording import Profile, Recording
from mapc.instances.importers.safetensors import integer_tensors
from mapc.models.placement.problem import PlacementProblem

_FILE = re.compile(r"rank\d+\.safetensors\Z")
_KEY = re.compile(r"(\d{1,9})_(\d{1,6})\Z")
_MAX_EXPERTS = 2**14


class _Meta(msgspec.Struct):
    num_experts: int
    num_experts_per_token: int | None = None


def import_tensorrt_llm(path: str | Path, **building: Unpack[Building]) -> PlacementProblem:
    """Read the statistics of all ranks and iterations and add them up.

    Parameters
    ----------
    path : path
        The folder.
    **building
        See `mapc.instances.importers.placement_building.OPTIONS`.

    Raises
    ------
    InstanceError
        For a folder without these files, and tensors of another shape.
    UsageError
        For options that contradict each other or the file.
    """
    where, folder = display_name(path), Path(path)
    meta_file = folder / "meta_info.json"
    meta = schema.decode(read_bytes(meta_file, MAX_TEXT_BYTES), _Meta, display_name(meta_file))
    if not 1 <= meta.num_experts <= _MAX_EXPERTS:
        right = f"1 to {_MAX_EXPERTS}"
        raise InstanceError(f"{meta.num_experts}", f"{meta_file}: num_experts", right)
    files = sorted(file for file in folder.iterdir() if _FILE.match(file.name))
    if not files:
        raise InstanceError("no rank*.safetensors", where, "statistics of TensorRT-LLM")
    sums: dict[int, np.ndarray] = {}
    for file in files:
        for tensor in integer_tensors(file):
            place = f"{file}: tensor {tensor.name[:60]!r}"
            match = _KEY.match(tensor.name)
            if match is None or tensor.shape != (meta.num_experts,):
                what = f"shape {tensor.shape}" if match else "no such key"
                raise InstanceError(what, place, f"<iteration>_<layer> of {meta.num_experts}")
            tokens = whole_numbers(tensor.load(), place)
            sums[int(match[2])] = sums.get(int(match[2]), 0) + tokens
    if not sums:
        raise InstanceError("no tensors", where, "statistics of some iterations")
    layers = sorted(sums)
    recording = Recording(
        name=folder.resolve().name,
        profiles=(Profile("recorded", np.stack([sums[layer] for layer in layers])),),
        top_k=meta.num_experts_per_token,
        layer_ids=np.array(layers, dtype=np.int64),
        provenance={"source": folder.resolve().name, "format": "tensorrt-llm"},
    )
    return build(recording, where, **building)
