"""HAWQ-V3: ``bit_config``, the widths of weights and activations by the names of its modules.

Names are those of the published repository, ``stage1.unit1.quant_convbn1``. An activation is as
wide as the layer that reads it; sums of residuals stay at 16 bits, and what the search leaves out
(first convolution, output) at the width ``fixed``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mapc.deploy.assignment import assignments
from mapc.deploy.text import to_json
from mapc.errors import UsageError
from mapc.graph.formats import BLOCK, INTEGER, Format
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

RUNTIME = "hawq"
_RESIDUAL_BITS = 16
_PREFIX = "bit_config_"
_LAYER = re.compile(r"((?:.+\.)?unit\d+)\.quant_(convbn(\d)|identity_convbn)\Z")
_NAME = re.compile(r"[A-Za-z0-9_.\-]+\Z")
_IDENTITY = 9


def export(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    form: str = "json",
    name: str = "mapc",
    fixed: int = 8,
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return the dictionary as JSON, or as Python lines to end ``bit_config.py`` with.

    Raises
    ------
    UsageError
        For a format that is no symmetric integer, a name that is none of HAWQ's, or a downsample
        that differs from the layer beside it.
    """
    if not 2 <= fixed <= 16:
        raise UsageError(f"{RUNTIME}: fixed {fixed}: expected 2 to 16 bits")
    if not _NAME.match(name):
        raise UsageError(f"{RUNTIME}: name {name!r}: expected letters, digits, _ . -")
    entries = assignments(problem, plan, RUNTIME, knows, rename=rename, separator=separator)
    config = bit_config({entry.name: entry.format.bits for entry in entries}, fixed)
    if form == "json":
        return to_json(config)
    key = name if name.startswith(_PREFIX) else _PREFIX + name
    lines = [f"    {module!r}: {bits}," for module, bits in config.items()]
    return "\n".join([f"bit_config_dict[{key!r}] = {{", *lines, "}", ""])


def knows(format: Format) -> bool:
    """Whether HAWQ's modules take a format: symmetric integers with a scale for each channel."""
    return format.kind == INTEGER and format.scope != BLOCK and not format.zero_bits


def bit_config(bits: dict[str, int], fixed: int) -> dict[str, int]:
    """Return widths of all modules from those of the layers, unit by unit in the order given.

    Raises
    ------
    UsageError
        For a name that is no layer of a unit.
    """
    units: dict[str, dict[int, int]] = {}
    for name, width in bits.items():
        match = _LAYER.match(name)
        if match is None:
            raise UsageError(
                f"{RUNTIME}: {name!r} is no layer of a unit; "
                "expected e.g. stage1.unit1.quant_convbn1"
            )
        units.setdefault(match[1], {})[int(match[3] or _IDENTITY)] = width
    bottleneck = any(3 in layers for layers in units.values())
    first = "quant_init_convbn" if bottleneck else "quant_init_block_convbn"
    config = {"quant_input": fixed, first: fixed, "quant_act_int32": _RESIDUAL_BITS}
    for unit, layers in units.items():
        for at, width in sorted(layers.items()):
            if at == _IDENTITY:
                config[f"{unit}.quant_identity_convbn"] = width
                continue
            config[f"{unit}.quant_act{at - 1 or ''}"] = width
            config[f"{unit}.quant_convbn{at}"] = width
        config[f"{unit}.quant_act_int32"] = _RESIDUAL_BITS
    return {**config, "quant_act_output": fixed, "quant_output": fixed}
