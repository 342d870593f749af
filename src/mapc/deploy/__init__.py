"""Plans as the files that runtimes load.

Every exporter is a pure function ``(problem, plan, **options)`` that returns the text of the file,
or its bytes; a further one, of any family, is a further entry in `EXPORTERS`. What a runtime cannot
do is refused by name, never rounded to something near.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mapc.errors import UsageError
from mapc.options import Option, check_options


@dataclass(frozen=True)
class Exporter:
    """Writes plans of one family for one runtime.

    Attributes
    ----------
    name : str
        The runtime, as after ``--to``.
    kind : str
        The family whose plans it takes.
    suffix : str
        What its files usually end in.
    target : str
        ``module:function`` of what does the work, imported when it is called.
    options : tuple of Option
    summary : str
        One line.
    also : tuple of str
        Further families whose plans it takes.
    """

    name: str
    kind: str
    suffix: str
    target: str
    options: tuple[Option, ...]
    summary: str
    also: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """All families whose plans it takes."""
        return (self.kind, *self.also)

    def __call__(self, problem: Any, plan: Any, **options: Any) -> str | bytes:
        """Return the content of the file; equal plans and options give equal contents.

        Raises
        ------
        UsageError
            For an option that is unknown or out of range, and for a plan that the runtime cannot
            carry out: the message names what, e.g. group and format, and what would be right.
        InstanceError
            For a plan that does not belong to the problem.
        """
        check_options(self.options, options, f"exporter {self.name}")
        return self.function(problem, plan, **options)

    @property
    def function(self) -> Callable[..., str | bytes]:
        """``function(problem, plan, **options)``, pure; options are taken as they come."""
        module, _, name = self.target.partition(":")
        found: Callable[..., str | bytes] = getattr(import_module(module), name)
        return found


_NAMING = (
    Option(
        "rename",
        "Rules PATTERN=>NAME, first match first: PATTERN is a regular expression for a whole name, "
        r"NAME may use \1. Names without a rule stay.",
        many=True,
    ),
    Option("separator", "Text between the modules in the name of a group that stands for several."),
)
_ACTIVATIONS = Option(
    "activations",
    "none: weights only. native: activations too, as the runtime's own preset of each format.",
    default="none",
    choices=("none", "native"),
)


_FORMS_OF_RECIPE = "recipe: YAML for load_recipe. json: the quantization config."
_FORMS_OF_TYPES = "file: for --tensor-type-file. arguments: one word a line."
_FORMS_OF_ONNX = "qdq: for quantize_static. nbits: for MatMulNBitsQuantizer."


def _form(help: str, *choices: str) -> Option:
    return Option("form", help, default=choices[0], choices=choices)


def _bits(
    name: str, suffix: str, target: str, options: tuple[Option, ...], summary: str
) -> Exporter:
    return Exporter(name, "bits", suffix, f"{__name__}.{target}", (*_NAMING, *options), summary)


def _placement(name: str, suffix: str, target: str, summary: str, *options: Option) -> Exporter:
    return Exporter(name, "placement", suffix, f"{__name__}.{target}:export", options, summary)


_SAMPLE_IDS = Option(
    "sample_ids", "The trainer's number of every sequence. [default: 0,1,...]", int, many=True
)


def _sequence(name: str, target: str, summary: str, *options: Option) -> Exporter:
    return Exporter(name, "sequence", ".json", f"{__name__}.{target}:export", options, summary)


EXPORTERS: Mapping[str, Exporter] = {
    exporter.name: exporter
    for exporter in (
        _bits(
            "modelopt",
            ".yaml",
            "modelopt:export",
            (
                _ACTIVATIONS,
                _form(_FORMS_OF_RECIPE, "recipe", "json"),
                Option("algorithm", "Calibration algorithm.", default="max"),
            ),
            "NVIDIA Model Optimizer: quant_cfg as a PTQ recipe or as JSON.",
        ),
        _bits(
            "compressed-tensors",
            ".json",
            "compressed_tensors:export_config",
            (_ACTIVATIONS,),
            "quantization_config of a checkpoint for vLLM and SGLang, by config groups.",
        ),
        _bits(
            "llm-compressor",
            ".yaml",
            "compressed_tensors:export_recipe",
            (_ACTIVATIONS,),
            "LLM Compressor: a recipe with one QuantizationModifier.",
        ),
        _bits(
            "autoround",
            ".json",
            "autoround:export",
            (_ACTIVATIONS,),
            "AutoRound: layer_config, module by module.",
        ),
        _bits(
            "llamacpp",
            ".txt",
            "llamacpp:export",
            (
                Option(
                    "names",
                    "What groups are called: GGUF tensors, or Hugging Face modules to translate.",
                    default="gguf",
                    choices=("gguf", "hf"),
                ),
                _form(_FORMS_OF_TYPES, "file", "arguments"),
            ),
            "llama.cpp: tensor types for llama-quantize.",
        ),
        _bits(
            "onnxruntime",
            ".json",
            "onnxruntime:export",
            (
                _form(_FORMS_OF_ONNX, "qdq", "nbits"),
                Option(
                    "model",
                    "The ONNX file: says channel axes, and which nodes read a weight.",
                    Path,
                ),
                Option("axis", "Channel axis of all weights, instead of a model.", int),
            ),
            "ONNX Runtime: arguments of quantize_static or of MatMulNBitsQuantizer.",
        ),
        _bits(
            "hawq",
            ".json",
            "hawq:export",
            (
                _form("json: one dictionary. python: for bit_config.py.", "json", "python"),
                Option("name", "Name of the configuration, in Python.", default="mapc"),
                Option("fixed", "Bits of what the plan does not decide.", int, 8),
            ),
            "HAWQ: bit_config, activations as wide as the layer that reads them.",
        ),
        _placement(
            "sglang",
            ".json",
            "sglang",
            "SGLang: --init-expert-location, a row for every layer of the model.",
            Option(
                "dispatch",
                "As --ep-dispatch-algorithm. lp: splits tokens batch by batch.",
                default="dynamic",
                choices=("dynamic", "static", "lp"),
            ),
        ),
        _placement(
            "vllm",
            ".jsonl",
            "vllm",
            "vLLM: initial mapping of offline EPLB (open proposal), layers with experts only.",
        ),
        _placement(
            "vllm-ascend",
            ".json",
            "vllm_ascend",
            "vLLM-Ascend: expert map, the experts of every device.",
        ),
        _placement(
            "tensorrt-llm",
            ".yaml",
            "tensorrt_llm",
            "TensorRT-LLM: static MoE load balancer, layers numbered as in the model.",
        ),
        _placement(
            "eplb",
            ".npz",
            "eplb_triple",
            "EPLB's tables phy2log, log2phy and logcnt, for scripts.",
        ),
        _sequence(
            "sequence-plan",
            "sequence_plan",
            "A step for any trainer: groups, their ranks, where each sequence lies.",
            Option("step", "Number of the training step.", int, 0),
            _SAMPLE_IDS,
            Option("bound", "Proven lower bound in ms. [default: that of areas]", float),
        ),
        _sequence(
            "megatron",
            "megatron",
            "Megatron-LM: samples of every rank for dynamic context parallelism.",
            _SAMPLE_IDS,
        ),
        _sequence(
            "process-groups",
            "process_groups",
            "Ranks of every group, to create once with torch.distributed.new_group.",
            Option(
                "which",
                "all: of every plan for this cluster. used: of this plan.",
                default="all",
                choices=("all", "used"),
            ),
        ),
        Exporter(
            "arena-json",
            "memory",
            ".json",
            f"{__name__}.arena:export_json",
            (),
            "Offset, size, first and last step of every buffer, as JSON.",
            ("allocation",),
        ),
        Exporter(
            "arena-c",
            "memory",
            ".h",
            f"{__name__}.arena:export_c",
            (Option("prefix", "What all names in the header begin with.", default="arena"),),
            "Offset, size, first and last step of every buffer, as a C header.",
            ("allocation",),
        ),
        Exporter(
            "transfers",
            "memory",
            ".json",
            f"{__name__}.transfers:export",
            (),
            "Commands step by step: load, run, store, with addresses and bytes.",
        ),
    )
}
"""By runtime; a further one is a further entry."""


def exporter(name: str) -> Exporter:
    """Return the exporter for a runtime.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in EXPORTERS:
        raise UsageError(f"exporter {name!r}: unknown; expected {', '.join(EXPORTERS)}")
    return EXPORTERS[name]


def exporters_of(kind: str) -> tuple[Exporter, ...]:
    """Return the exporters that take plans of a family."""
    return tuple(found for found in EXPORTERS.values() if kind in found.kinds)
