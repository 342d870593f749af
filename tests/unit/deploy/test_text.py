from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.deploy.text import to_json, to_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAF = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT
DOCUMENT = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


def test_yaml_is_laid_out_in_blocks() -> None:
    document = {
        "a": {"b": 1, -1: None, "empty": {}},
        "list": [{"x": "e4m3", "on": True}, "*", [], ["yes", "1"], 2.5],
    }
    assert to_yaml(document) == (
        "a:\n"
        "  b: 1\n"
        "  -1: null\n"
        "  empty: {}\n"
        "list:\n"
        "  - x: e4m3\n"
        '    "on": true\n'
        '  - "*"\n'
        "  - []\n"
        "  -\n"
        '    - "yes"\n'
        '    - "1"\n'
        "  - 2.5\n"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("model.layers.0.mlp", "model.layers.0.mlp"),
        ("a-b_c", "a-b_c"),
        ("", '""'),
        ("null", '"null"'),
        ("No", '"No"'),
        ("~", '"~"'),
        ("1e3", '"1e3"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ('"\\', '"\\"\\\\"'),
        ("\n\x7f\x85\u2028", '"\\x0a\\x7f\\x85\\u2028"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("größe", '"größe"'),
    ],
)
def test_text_that_yaml_would_misread_is_quoted(text: str, written: str) -> None:
    assert to_yaml({"k": text}) == f"k: {written}\n"


@given(st.dictionaries(TEXT, DOCUMENT, max_size=4))
def test_yaml_is_read_back_as_meant(document) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(to_yaml(document)) == (document or None)


@given(DOCUMENT)
def test_json_is_read_back_as_meant(document) -> None:
    text = to_json(document)
    assert text.endswith("\n")
    assert json.loads(text) == document


def test_json_has_no_numbers_that_json_lacks() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json({"a": float("nan")})
