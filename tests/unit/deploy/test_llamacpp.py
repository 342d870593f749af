from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.deploy.llamacpp import export, ggml_type, knows, pattern, tensor_types
from mapc.errors import UsageError
from mapc.graph.formats import FORMATS, format_named

CHOSEN = {
    "token_embd.weight": "q6_k",
    "blk.1.ffn_down.weight": "q4_k",
    "blk.11.ffn_down.weight": "q5_k",
    "blk.1.ffn_down_exps.weight": "iq4_xs",
    "blk.1.attn_q.weight": "fp16",
    "output.weight": "q8_0",
}
OTHERS = [
    "blk.21.ffn_down.weight",
    "blk.1.ffn_down.weights",
    "blk.1xffn_down.weight",
    "output_norm",
]


def typed(text: str, tensors: list[str]) -> dict[str, list[str]]:
    """Return the types of all entries that a tensor meets, whatever their order means."""
    rules = tensor_types(text)
    return {name: [kind for regex, kind in rules if regex.search(name)] for name in tensors}


def test_every_tensor_meets_one_entry_and_no_other_tensor_does(build) -> None:
    text = export(*build(CHOSEN))
    expected = {name: ["f16" if kind == "fp16" else kind] for name, kind in CHOSEN.items()}
    assert typed(text, list(CHOSEN)) == expected
    assert typed(text, OTHERS) == {name: [] for name in OTHERS}


def test_the_file_is_written_this_way(build) -> None:
    assert export(*build({"blk.3.ffn_down.weight": "q4_k"})) == (
        "^blk\\.3\\.ffn_down\\.weight$=q4_k\n"
    )


def test_arguments_name_the_ends_by_their_own_options(build) -> None:
    chosen = {"token_embd.weight": "q6_k", "blk.0.a": "q4_0", "output.weight": "bf16"}
    assert export(*build(chosen), form="arguments").splitlines() == [
        "--token-embedding-type",
        "q6_k",
        "--tensor-type",
        "^blk\\.0\\.a$=q4_0",
        "--output-tensor-type",
        "bf16",
    ]


def test_modules_of_hugging_face_are_translated(build) -> None:
    layer = "model.layers.7."
    chosen = {
        "model.embed_tokens": "q6_k",
        layer + "self_attn.q_proj": "q4_k",
        layer + "mlp.experts.0.down_proj": "q5_k",
        layer + "mlp.experts.1.down_proj": "q5_k",
        "lm_head": "q8_0",
    }
    assert export(*build(chosen), names="hf").splitlines() == [
        "^token_embd\\.weight$=q6_k",
        "^blk\\.7\\.attn_q\\.weight$=q4_k",
        "^blk\\.7\\.ffn_down_exps\\.weight$=q5_k",
        "^output\\.weight$=q8_0",
    ]


def test_experts_share_one_tensor(build) -> None:
    chosen = {f"model.layers.0.mlp.experts.{i}.up_proj": f"q{4 + i}_k" for i in range(2)}
    with pytest.raises(UsageError, match=r"'blk\.0\.ffn_up_exps\.weight' is q4_k by group"):
        export(*build(chosen), names="hf")


@given(
    st.lists(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_a_pattern_matches_its_name_only(names: list[str]) -> None:
    """Whatever the names: split at the first '=', in lower case, separated by white space."""
    text = "".join(f"{pattern(name)}=q{at}\n" for at, name in enumerate(names))
    assert typed(text, names) == {name: [f"q{at}"] for at, name in enumerate(names)}


@pytest.mark.parametrize("name", ["größe", "a\nb", "a\tb", "a\x7f"])
def test_names_that_no_pattern_can_hold_are_refused(build, name: str) -> None:
    with pytest.raises(UsageError, match="plain ASCII"):
        export(*build({name: "q4_k"}))


@pytest.mark.parametrize("format", ["int4", "nvfp4", "fp8", "mxfp8", "mlx4_g64"])
def test_formats_it_lacks_are_refused(build, format: str) -> None:
    assert not knows(format_named(format))
    with pytest.raises(UsageError, match="llamacpp does not know format"):
        export(*build({"a": format}))


@pytest.mark.parametrize("text", ["a", "=q4_k", "a="])
def test_a_file_it_would_refuse(text: str) -> None:
    with pytest.raises(UsageError, match="REGEX=TYPE"):
        tensor_types(text)


def test_the_package_has_the_types_and_stores_them_so() -> None:
    gguf = pytest.importorskip("gguf")
    types = {kind.name.lower(): kind for kind in gguf.GGMLQuantizationType}
    for format in filter(knows, FORMATS.values()):
        kind = types[ggml_type(format)]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        assert format.bits_per_weight * block == 8 * size, format.name
