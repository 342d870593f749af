"""Seeded instances of any size, for tests, benchmarks and ``mapc generate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mapc.errors import UsageError
from mapc.options import Option, check_options


@dataclass(frozen=True)
class Generator:
    """Makes problems of one family out of a seed.

    Attributes
    ----------
    kind : str
        The family, and the name after ``mapc generate``.
    function : str
        ``module:function``, imported when it is called; ``function(**options) -> problem``.
    options : tuple of Option
    summary : str
        One line.
    """

    kind: str
    function: str
    options: tuple[Option, ...]
    summary: str

    def __call__(self, **options: Any) -> Any:
        """Return a problem; equal options give equal problems.

        Raises
        ------
        UsageError
            For an option that is unknown, missing, or out of range.
        """
        check_options(self.options, options, f"generator {self.kind}")
        if options.get("seed", 0) < 0:
            raise UsageError(f"seed {options['seed']}: expected 0 or more")
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)(**options)


_NETWORKS = ("randwire", "darts", "nasnet", "amoebanet", "unet", "gpt", "layered")
_MODELS = ("gpt-7b", "gpt-13b", "gpt-30b")
_SEED = Option("seed", "Equal seeds give equal problems.", int, 0)

GENERATORS: Mapping[str, Generator] = {
    "bits": Generator(
        "bits",
        f"{__name__}.bits:generate",
        (
            Option("groups", "Groups to choose a format for.", int, required=True),
            Option("formats", "Formats every group has.", int, 5),
            Option("budgets", "1: size. 2: bit operations as well. 3: latency, too.", int, 1),
            _SEED,
            Option(
                "sizes",
                "Sizes of groups: of transformer matrices, or any whole number of weights.",
                default="llm",
                choices=("llm", "continuous"),
            ),
        ),
        "Log-normal sensitivities over layers of realistic or random size.",
    ),
    "allocation": Generator(
        "allocation",
        f"{__name__}.packings:perfect_packing",
        (
            Option("buffers", "Buffers to cut the rectangle into.", int, required=True),
            Option("capacity", "Bytes that they fill at all times.", int, 1024),
            Option("steps", "Units of time.", int, 1024),
            Option("pinwheels", "Part of the cuts that are no guillotine's, 0 to 1.", float, 0.0),
            Option("slack", "Part by which the capacity is above what is filled.", float, 0.0),
            _SEED,
        ),
        "A rectangle of time and memory cut into buffers that fit it exactly.",
    ),
    "placement": Generator(
        "placement",
        f"{__name__}.placement:generate",
        (
            Option("layers", "Mixture-of-experts layers.", int, required=True),
            Option("experts", "Experts of a layer.", int, required=True),
            Option("ranks", "Ranks, evenly over the nodes.", int, required=True),
            Option("slots", "Experts a rank holds in a layer; more than needed are replicas.", int),
            Option("nodes", "Nodes.", int, 1),
            Option("profiles", "Load profiles, the second half of them of decoding.", int, 1),
            Option(
                "transitions",
                "Part of the tokens with a favourite next expert, 0 to 1; adds chain traffic.",
                float,
            ),
            Option("tokens", "Tokens of a layer in every profile, times top-k.", int, 2**20),
            Option("top_k", "Experts per token.", int, 8),
            _SEED,
        ),
        "Dirichlet loads, favourite next experts, nodes with slow links between them.",
    ),
    "sequence": Generator(
        "sequence",
        f"{__name__}.lengths:generate",
        (
            Option("sequences", "Sequences of the global batch.", int, 512),
            Option("ranks", "Ranks of the cluster.", int, 64),
            Option("ranks_per_node", "Ranks that share a node.", int, 8),
            Option("model", "Model whose published costs hold.", default="gpt-7b", choices=_MODELS),
            Option("max_length", "Longest sequence, in tokens: 192K, 128Ki.", default="384K"),
            Option(
                "distribution",
                "Long tails: heavy, or heavier still.",
                default="lognormal",
                choices=("lognormal", "pareto"),
            ),
            _SEED,
        ),
        "Log-normal or Pareto lengths under FlexSP's published costs.",
    ),
    "memory": Generator(
        "memory",
        f"{__name__}.graphs:generate",
        (
            Option("network", "What to build.", required=True, choices=_NETWORKS),
            _SEED,
            Option("cells", "darts: in all. nasnet, amoebanet: in each stack.", int),
            Option("nodes", "randwire: nodes of a stage.", int),
            Option("neighbours", "randwire: nearest nodes that one knows on the ring.", int),
            Option("rewire", "randwire: probability that an edge is moved, 0 to 1.", float),
            Option("channels", "Channels of the first stage, of all but gpt and layered.", int),
            Option("resolution", "Height and width of the image.", int),
            Option("depth", "unet: halvings of the image.", int),
            Option("layers", "gpt: layers.", int),
            Option("hidden", "gpt: width of a token.", int),
            Option("heads", "gpt: attention heads.", int),
            Option("tokens", "gpt: tokens at once.", int),
            Option("vocabulary", "gpt: logits to compute at the end; 0 for none.", int),
            Option("operators", "layered: operators in all.", int),
            Option("width", "layered: operators of a layer on average.", int),
            Option("dtype", "Number format of all tensors.", default="int8"),
            Option("weights", "Keep weights, as constants.", bool, False),
            Option("fuse", "Merge elementwise operators into their producers.", bool, False),
        ),
        "Networks from architecture search, randomly wired ones, U-Net, GPT, layered graphs.",
    ),
}
"""By family; a further one is a further entry."""


def generator(kind: str) -> Generator:
    """Return the generator of a family.

    Raises
    ------
    UsageError
        If there is none.
    """
    if kind not in GENERATORS:
        raise UsageError(f"generator {kind!r}: unknown; expected {', '.join(GENERATORS)}")
    return GENERATORS[kind]
