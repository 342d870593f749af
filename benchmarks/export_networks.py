"""Operator graphs of published networks, exported with torch: what memory benchmarks read.

    python benchmarks/export_networks.py FOLDER [NETWORK...] [--weights] [--unfused] [--dtype int8]
        [--minutes 30] [--list]

Needs torch and, for the networks that come from them, torchvision, timm and transformers. Nothing
is downloaded: networks are built from their code, on torch's meta device, where tensors have
shapes and no data; one that cannot be built there gets random weights. ``torch.export`` traces each
with one input of the size that it was made for, and mapc's importer makes the graph.

Written are instance files of mapc without a capacity: ``NAME.json`` holds activations alone,
elementwise operators merged into their producers; with ``--weights`` there is
``NAME_weights.json`` as well, with parameters; with ``--unfused`` also ``NAME_unfused.json``. Files
that are there already are not made again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mapc
from mapc.errors import MapcError

Built = tuple[Any, tuple[Any, ...]]
Build = Callable[[], Built]


# -- networks by package --------------------------------------------------------------------------


def vision(name: str, size: int = 224, **options: Any) -> Build:
    """Return what builds a classifier of torchvision for square images."""

    def build() -> Built:
        import torch
        import torchvision

        net = torchvision.models.get_model(name, weights=None, **options)
        return net, (torch.zeros(1, 3, size, size),)

    return build


def segmentation(name: str) -> Build:
    """Return what builds a network of torchvision that labels every pixel."""
    return vision(name, 224, weights_backbone=None)


def video(name: str, frames: int = 16, size: int = 112) -> Build:
    """Return what builds a network of torchvision for clips."""

    def build() -> Built:
        import torch
        import torchvision

        net = torchvision.models.get_model(name, weights=None)
        return net, (torch.zeros(1, 3, frames, size, size),)

    return build


def timm_image(name: str, size: int = 224) -> Build:
    """Return what builds a classifier of timm for square images."""

    def build() -> Built:
        import timm
        import torch

        return timm.create_model(name, pretrained=False), (torch.zeros(1, 3, size, size),)

    return build


def language(kind: str, length: int = 128, model: str = "Model", **config: Any) -> Build:
    """Return what builds a model of transformers that reads tokens."""

    def build() -> Built:
        import torch
        import transformers

        settings = getattr(transformers, f"{kind}Config")(**config)
        net = getattr(transformers, f"{kind}{model}")(settings)
        return Returned(net), (torch.zeros(1, length, dtype=torch.int64),)

    return build


def whisper() -> Build:
    """Return what builds the encoder of Whisper tiny: 30 seconds of sound."""

    def build() -> Built:
        import torch
        import transformers
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config = transformers.WhisperConfig()
        return Returned(WhisperEncoder(config)), (torch.zeros(1, 80, 3000),)

    return build


def Returned(net: Any) -> Any:  # noqa: N802 - a class that needs torch to be defined
    """Wrap a model of transformers: the first tensor of what it returns, no cache of keys."""
    import torch

    class FirstResult(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, given: Any) -> Any:
            return self.net(given, return_dict=False)[0]

    if hasattr(net.config, "use_cache"):
        net.config.use_cache = False
    return FirstResult()


LLAMA = {
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
}
NETWORKS: dict[str, Build] = {
    "pnasnet5large": timm_image("pnasnet5large", 331),
    "nasnetalarge": timm_image("nasnetalarge", 331),
    "alexnet": vision("alexnet"),
    "vgg16": vision("vgg16"),
    "squeezenet1_1": vision("squeezenet1_1"),
    "googlenet": vision("googlenet", init_weights=False, aux_logits=False),
    "inception_v3": vision("inception_v3", 299, init_weights=False, aux_logits=False),
    "resnet18": vision("resnet18"),
    "resnet50": vision("resnet50"),
    "resnext50_32x4d": vision("resnext50_32x4d"),
    "wide_resnet50_2": vision("wide_resnet50_2"),
    "densenet121": vision("densenet121"),
    "densenet201": vision("densenet201"),
    "mobilenet_v2": vision("mobilenet_v2"),
    "mobilenet_v3_large": vision("mobilenet_v3_large"),
    "shufflenet_v2_x1_0": vision("shufflenet_v2_x1_0"),
    "mnasnet1_0": vision("mnasnet1_0"),
    "efficientnet_b0": vision("efficientnet_b0"),
    "efficientnet_b4": vision("efficientnet_b4", 380),
    "regnet_y_400mf": vision("regnet_y_400mf"),
    "convnext_tiny": vision("convnext_tiny"),
    "swin_t": vision("swin_t"),
    "vit_b_16": vision("vit_b_16"),
    "fcn_resnet50": segmentation("fcn_resnet50"),
    "deeplabv3_resnet50": segmentation("deeplabv3_resnet50"),
    "lraspp_mobilenet_v3_large": segmentation("lraspp_mobilenet_v3_large"),
    "r2plus1d_18": video("r2plus1d_18"),
    "s3d": video("s3d", size=224),
    "bert_base": language("Bert"),
    "gpt2": language("GPT2"),
    "t5_small_encoder": language(
        "T5", model="EncoderModel", d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8
    ),
    "llama_small": language("Llama", **LLAMA),
    "whisper_tiny_encoder": whisper(),
    "hrnet_w18": timm_image("hrnet_w18"),
    "mixer_b16": timm_image("mixer_b16_224"),
    "efficientvit_b0": timm_image("efficientvit_b0"),
    "levit_128": timm_image("levit_128"),
    "ghostnet_100": timm_image("ghostnet_100"),
    "dla34": timm_image("dla34"),
}
"""What is exported: name, and how to build the network and its inputs."""


# -- export ---------------------------------------------------------------------------------------


def exported(build: Build) -> Any:
    """Trace a network without data where that can be done, else with random weights."""
    import torch

    for device in ("meta", "cpu"):
        try:
            with torch.device(device), torch.no_grad():
                net, inputs = build()
                return torch.export.export(net.eval(), inputs)
        except (NotImplementedError, RuntimeError):
            if device == "cpu":
                raise
    raise AssertionError("unreachable")


def kinds(args: argparse.Namespace) -> dict[str, dict[str, bool]]:
    """Return endings of files with the options of the importer."""
    wanted = {"": {"fuse": True}}
    if args.weights:
        wanted["_weights"] = {"fuse": True, "weights": True}
    if args.unfused:
        wanted["_unfused"] = {}
    return wanted


def export(name: str, args: argparse.Namespace) -> str:
    """Write the files of one network that are not there; return a line about it."""
    missing = {
        args.folder / f"{name}{ending}.json": options
        for ending, options in kinds(args).items()
        if not (args.folder / f"{name}{ending}.json").exists()
    }
    if not missing:
        return f"{name}: there"
    begin = time.process_time()
    program = exported(NETWORKS[name])
    said = []
    for path, options in missing.items():
        problem = mapc.read(program, importer="torch", dtype=args.dtype, **options)
        graph = problem.graph
        mapc.write(named(problem, path.stem), path)
        said.append(f"{path.stem} {graph.n_operators} operators, {graph.n_tensors} tensors")
    return f"{'; '.join(said)} ({time.process_time() - begin:.1f} CPU seconds)"


def named(problem: Any, name: str) -> Any:
    """Return the problem with its graph under another name."""
    from dataclasses import replace

    return replace(problem, graph=replace(problem.graph, name=name))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--weights", action="store_true", help="once more, with parameters")
    parser.add_argument("--unfused", action="store_true", help="once more, operator by operator")
    parser.add_argument("--dtype", default="int8", help="of floating-point tensors")
    parser.add_argument("--minutes", type=float, default=30.0, help="no network starts after that")
    parser.add_argument("--list", action="store_true", help="name the networks and stop")
    args = parser.parse_args(arguments)
    if args.folder is None and not args.list:
        parser.error("a folder to write to is missing")
    if unknown := [name for name in args.networks if name not in NETWORKS]:
        parser.error(f"unknown: {', '.join(unknown)}; see --list")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    if args.list:
        print(*NETWORKS, sep="\n")
        return
    ends = time.monotonic() + 60 * args.minutes
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.networks or NETWORKS:
        if time.monotonic() > ends:
            print("out of time: no further networks", flush=True)
            return
        try:
            print(export(name, args), flush=True)
        except (MapcError, ImportError, NotImplementedError, RuntimeError, ValueError) as error:
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
