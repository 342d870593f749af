"""What holds for the pictures of every family."""

import html
import json
import re

import pytest

import mapc
from mapc import instances
from mapc.visual.loading import of_result
from mapc.visual.report import make

_CLUSTER = {"name": ["r"], "node": [0], "speed": [1], "memory": [8]}
_MODE = {"degree": [1], "kind": ["ulysses"], "quadratic": [1e-6], "linear": [0.1], "fixed": [1]}
ONE = {
    "bits": {
        "formats": ["int4"],
        "resources": {"name": ["size"], "unit": ["bits"], "budget": [4]},
        "groups": {"name": ["g"], "weights": [1], "options": [1]},
        "options": {"format": [0], "loss": [1.0], "cost": [[4]]},
        "ties": [],
    },
    "placement": {
        "profiles": {"name": ["p"], "weight": [1], "scale": [1], "counts": [[[5]]]},
        "layers": {"id": [0], "of": 1},
        "cluster": _CLUSTER,
        "slots": 1,
        "current": [[[0]]],
        "max_moves": 1,
    },
    "sequence": {
        "lengths": [1],
        "cluster": {"ranks": 1, "node_ranks": 1},
        "modes": {**_MODE, "tokens": [4]},
    },
}
"""Instances with one of everything."""
NOUNS = "group|plan|layer|rank|expert|slot|step|sequence|move|reload|spill|micro-batche|buffer"


@pytest.mark.parametrize("kind", ONE)
def test_one_of_something_is_not_several(kind, tmp_path):
    file = tmp_path / "one.json"
    units = {"bits": {"loss": "any additive"}, "placement": {"load": "tokens of the window"}}
    header = {"schema": "mapc/instance", "version": 1, "kind": kind, "name": "one"}
    file.write_text(json.dumps({**header, "units": units.get(kind, {}), "problem": ONE[kind]}))
    problem = instances.read(file)
    page = make([of_result(problem, mapc.solve(problem, time_limit=None))]).html
    page = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    texts = html.unescape(re.sub("<[^>]*>", "\n", page)) + "\n".join(re.findall('="([^"]*)"', page))
    assert re.search(rf"\b1 ({NOUNS})\b", texts)
    assert re.findall(rf".{{,20}}(?<![\d.,])\b1 (?:{NOUNS})s\b", texts) == []
    assert re.findall(r"longest 1 tokens|.*(?<!=)\b(?:None|nan|inf)\b.*", texts) == []
