"""Files that hold, or lead to, a bits problem; a further one is a further entry in `IMPORTERS`."""

from mapc.instances.importers.hawq import import_hawq
from mapc.instances.importers.importer import FILE, LIST, NUMBER, TEXT, Importer, Option
from mapc.instances.importers.mlx_optiq import import_mlx_optiq
from mapc.instances.importers.modelopt import import_modelopt
from mapc.instances.importers.table import import_table
from mapc.instances.importers.ties import TIE_PRESETS, TIE_RULES, TieRule, ties_by_rule
from mapc.instances.importers.weights import (
    import_imatrix,
    import_onnx_weights,
    import_safetensors,
)
from mapc.instances.sensitivity.tensors import LOSSES

_FORMATS = Option("formats", LIST, "Number formats to choose from, e.g. int4,int8,fp8.")
_TIES = Option("ties", LIST, f"Fused layers: {', '.join((*TIE_PRESETS, *TIE_RULES))}.")
_SELECTION = (
    Option("only", LIST, "Globs over group names: the weights to choose formats for."),
    Option("skip", LIST, "Globs over group names: weights to leave out."),
)
_OWN = Option("own_formats", FILE, "TOML or JSON with number formats of one's own.")
_LOSS = Option("loss", TEXT, f"Error to count: {', '.join(LOSSES)}.", choices=LOSSES)
_MEASURED = (
    _FORMATS,
    _LOSS,
    Option("hessian", FILE, "JSON with the average Hessian trace of every group."),
    _TIES,
    *_SELECTION,
    Option("min_weights", NUMBER, "Leave out tensors with fewer weights."),
    _OWN,
)

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
            (Option("model", TEXT, "Which model of the file, e.g. resnet50."),),
            "HAWQ-V3 inputs: Hessian traces, quantization errors, sizes, MACs, latencies",
        ),
        Importer("modelopt", import_modelopt, (), "score dump of ModelOpt's auto_quantize"),
        Importer(
            "mlx-optiq",
            import_mlx_optiq,
            (Option("group_size", NUMBER, "Weights that share a scale, e.g. 64."),),
            "sensitivity file of mlx-optiq",
        ),
        Importer(
            "imatrix",
            import_imatrix,
            (
                Option("weights", FILE, "GGUF or safetensors of the unquantized model.", True),
                _FORMATS,
                _LOSS,
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
    ]
}
"""Importers by name, as in ``mapc import NAME FILE``."""

__all__ = [
    "FILE",
    "IMPORTERS",
    "LIST",
    "NUMBER",
    "TEXT",
    "TIE_PRESETS",
    "TIE_RULES",
    "Importer",
    "Option",
    "TieRule",
    "import_hawq",
    "import_imatrix",
    "import_mlx_optiq",
    "import_modelopt",
    "import_onnx_weights",
    "import_safetensors",
    "import_table",
    "ties_by_rule",
]
