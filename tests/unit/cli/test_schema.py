import json

import pytest

from mapc.models import KINDS


def sorts(document):
    names = [one["$ref"].rpartition("/")[2] for one in document["oneOf"]]
    return [json.dumps(document["$defs"][name]["properties"]["schema"]) for name in names]


def references(value):
    if isinstance(value, dict):
        own = [value["$ref"].rpartition("/")[2]] if "$ref" in value else []
        return own + [name for item in value.values() for name in references(item)]
    return [name for item in value for name in references(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(("what", "holds"), [("instance", "mapc/instance"), ("plan", "mapc/plan")])
def test_one_sort(run, what, holds):
    document = json.loads(run("schema", what).stdout)
    assert len(document["oneOf"]) == len(KINDS)
    assert all(holds in sort for sort in sorts(document))
    assert set(references(document)) == set(document["$defs"])


def test_both(run):
    whole = json.loads(run("schema").stdout)
    parts = [json.loads(run("schema", what).stdout) for what in ("instance", "plan")]
    assert len(whole["oneOf"]) == 2 * len(KINDS)
    assert set(whole["$defs"]) == set(parts[0]["$defs"]) | set(parts[1]["$defs"])
    assert "MemoryPlanFile" not in parts[0]["$defs"]
