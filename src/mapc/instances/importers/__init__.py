"""Files that hold, or lead to, a problem; a further one is a further entry in `IMPORTERS`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mapc.instances.importers.counts import import_counts
from mapc.instances.importers.hawq import import_hawq
from mapc.instances.importers.importer import Importer
from mapc.instances.importers.lengths import OPTIONS as _LENGTHS
from mapc.instances.importers.lengths import import_lengths
from mapc.instances.importers.mlx_optiq import import_mlx_optiq
from mapc.instances.importers.modelopt import import_modelopt
from mapc.instances.importers.placement_building import OPTIONS as _BUILDING
from mapc.instances.importers.popularity import import_popularity
from mapc.instances.importers.sglang import import_sglang
from mapc.instances.importers.table import import_table
from mapc.instances.importers.tensorrt_llm import import_tensorrt_llm
from mapc.instances.importers.ties import TIE_PRESETS, TIE_RULES, TieRule, ties_by_rule
from mapc.instances.importers.trace import import_trace
from mapc.instances.importers.vllm_stats import import_vllm
from mapc.instances.importers.weights import (
    FORMATS,
    GGUF_FORMATS,
    import_imatrix,
    import_onnx_weights,
    import_safetensors,
)
from mapc.instances.sensitivity.tensors import LOSSES, RELATIVE, SQUARED
from mapc.instances.torch_export import import_torch
from mapc.options import Option


def _formats(default: Sequence[str]) -> Option:
    return Option("formats", "Number formats to choose from.", many=True, default=default)


def _loss(default: str) -> Option:
    return Option("loss", "Error to count.", default=default, choices=LOSSES)


_TIES = Option("ties", f"Fused layers: {', '.join((*TIE_PRESETS, *TIE_RULES))}.", many=True)
_SELECTION = (
    Option("only", "Globs over group names: the weights to choose formats for.", many=True),
    Option("skip", "Globs over group names: weights to leave out.", many=True),
)
_OWN = Option("own_formats", "TOML or JSON with number formats of one's own.", Path)
_MEASURED = (
    _formats(FORMATS),
    _loss(RELATIVE),
    Option("hessian", "JSON with the average Hessian trace of every group.", Path),
    _TIES,
    *_SELECTION,
    Option("min_weights", "Leave out tensors with fewer weights.", int),
    _OWN,
)


def _placement(name: str, function: Callable[..., Any], summary: str, *own: Option) -> Importer:
    return Importer(name, function, (*own, *_BUILDING), summary, "placement")


IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in [
        Importer(
            "table",
            import_table,
            (),
            "options in rows, CSV or JSON: group, format, loss and a column for each resource",
        ),
        Importer(
            "hawq",
            import_hawq,
            (Option("model", "Which model of the file, e.g. resnet50."),),
            "HAWQ-V3 inputs: Hessian traces, quantization errors, sizes, MACs, latencies",
        ),
        Importer("modelopt", import_modelopt, (), "score dump of ModelOpt's auto_quantize"),
        Importer(
            "mlx-optiq",
            import_mlx_optiq,
            (Option("group_size", "Weights that share a scale, e.g. 64.", int),),
            "sensitivity file of mlx-optiq",
        ),
        Importer(
            "imatrix",
            import_imatrix,
            (
                Option(
                    "weights", "GGUF or safetensors of the unquantized model.", Path, required=True
                ),
                _formats(GGUF_FORMATS),
                _loss(SQUARED),
                _TIES,
                *_SELECTION,
                _OWN,
            ),
            "importance matrix of llama.cpp with the weights it belongs to",
        ),
        Importer(
            "onnx-weights", import_onnx_weights, _MEASURED, "weights of an ONNX model, measured"
        ),
        Importer(
            "safetensors", import_safetensors, _MEASURED, "weights of a safetensors file, measured"
        ),
        _placement("counts", import_counts, "loads of experts, a table for each profile"),
        _placement(
            "trace",
            import_trace,
            "experts of every token, or loads and transitions",
            Option("experts", "Experts of a layer, where the last may have had no tokens.", int),
        ),
        _placement("sglang", import_sglang, "dump of SGLang's expert distribution recorder"),
        _placement("vllm", import_vllm, "expert load statistics of vLLM"),
        _placement("tensorrt-llm", import_tensorrt_llm, "expert statistics of TensorRT-LLM"),
        _placement("popularity", import_popularity, "expert popularity as Fiddler has it"),
        Importer(
            "lengths",
            import_lengths,
            _LENGTHS,
            "lengths of sequences: a global batch of them on a cluster",
            "sequence",
        ),
        Importer(
            "torch",
            import_torch,
            (
                Option("dtype", "Number format of all floating-point tensors, e.g. int8."),
                Option("fuse", "Merge elementwise operators into their producers.", bool, False),
                Option("weights", "Keep parameters, as constants.", bool, False),
            ),
            "program of torch.export, saved as .pt2: operators and tensors",
            "memory",
        ),
    ]
}
"""Importers by name, as in ``mapc import NAME FILE``."""

__all__ = [
    "IMPORTERS",
    "TIE_PRESETS",
    "TIE_RULES",
    "Importer",
    "TieRule",
    "import_counts",
    "import_hawq",
    "import_imatrix",
    "import_lengths",
    "import_mlx_optiq",
    "import_modelopt",
    "import_onnx_weights",
    "import_popularity",
    "import_safetensors",
    "import_sglang",
    "import_table",
    "import_tensorrt_llm",
    "import_torch",
    "import_trace",
    "import_vllm",
    "ties_by_rule",
]
