from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.instances.importers import import_counts, import_popularity

DATA = (
    Path(os.environ.get("MAPC_DATA", Path(__file__).parents[5] / "shared" / "data")) / "placement"
)
COUNTS = DATA / "deepseek_v3_expert_counts.npz"
POPULARITY = DATA / "mixtral_8x7b_mmlu_ml_popularity.json"

DAY = [[5, 1, 2, 4], [3, 3, 3, 3]]
NIGHT = [[1, 1, 1, 1], [9, 0, 0, 3]]
ROWS = "profile,expert,count,layer\n" + "".join(
    f"{name},{e},{table[r][e]},{r + 3}\n"
    for name, table in (("day", DAY), ("night", NIGHT))
    for e in range(4)
    for r in (1, 0)
    if table[r][e]
)


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if name.endswith(".npz"):
        np.savez(path, **{key: np.array(value) for key, value in content.items()})
    elif name.endswith(".npy"):
        np.save(path, np.array(content))
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.npz", {"day": DAY, "night": NIGHT}),
        ("c.npz", {"day": np.array(DAY, dtype=float), "night": np.array(NIGHT, dtype=np.uint8)}),
        ("c.json", {"day": DAY, "night": NIGHT}),
        ("c.csv", ROWS),
    ],
)
def test_profiles_of_a_file(tmp_path: Path, name: str, content: Any) -> None:
    path = write(tmp_path, name, content)
    problem = import_counts(path, profile=["all"], ranks=2)
    assert problem.profiles == ("day", "night")
    assert problem.counts.tolist() == [DAY, NIGHT]
    assert problem.layer_ids.tolist() == ([3, 4] if name == "c.csv" else [0, 1])
    one = import_counts(path, profile=["night"], ranks=2)
    assert one.counts.tolist() == [NIGHT]
    assert import_counts(path, profile=["night", "day"], ranks=2).profiles == ("night", "day")


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.npy", DAY), ("c.json", DAY), ("c.csv", "5,1,2,4\n3, 3,3,3\n"), ("c.csv", ROWS)],
)
def test_a_single_table(tmp_path: Path, name: str, content: Any) -> None:
    profile = ["day"] if content == ROWS else None
    path = write(tmp_path, name, content)
    options = {} if profile is None else {"profile": profile}
    assert import_counts(path, ranks=2, **options).counts.tolist() == [DAY]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.txt", "5", "unknown kind of file; expected .npz, .npy, .json, .csv"),
        ("c.npy", np.ones((2, 2, 2)), "profile 'c': shape (2, 2, 2); expected [layers, experts]"),
        ("c.npy", np.ones((0, 2)), "profile 'c': shape (0, 2); expected [layers, experts]"),
        ("c.npy", [[1, np.nan]], "profile 'c'[0, 1]: nan; expected a whole number"),
        ("c.npy", [[1, -3]], "profile 'c'[0, 1]: -3; expected a whole number 0 to"),
        ("c.npy", [[0, 0]], "no tokens in any layer; expected a recording of some traffic"),
        ("c.json", "[[1, 2], [3]]", "lists of unequal length"),
        ("c.json", "[[1, NaN]]", "NaN and Infinity are no JSON numbers"),
        ("c.json", "{}", "no profiles; expected a table for each profile"),
        ("c.json", "3", "Expected `object | array`, got `int`"),
        ("c.json", {"a": [[1, 1]], "b": [[1, 1, 1]]}, "profile 'b': shape (1, 3); expected (1, 2)"),
        (
            "c.json",
            {"a": [[1, 1], [1, 0]], "b": [[1, 1], [0, 0]]},
            "profile 'b', row 1: no tokens; expected some in every layer that another profile has",
        ),
        ("c.csv", "layer,expert\n1,2\n", "no column 'count'; expected the columns layer, expert"),
        ("c.csv", "layer,expert,count\n", "no rows; expected rows of counts"),
        ("c.csv", "layer,expert,count\n1,2\n", "row 2: 2 cells; expected 3"),
        ("c.csv", "layer,expert,count\n1,2,x\n", "row 2: 'x'; expected a number"),
        ("c.csv", "layer,expert,count\n1,2,nan\n", "column 'count'[0]: nan; expected a whole"),
        ("c.csv", "layer,expert,count\n1,2,3\n1,2,4\n", "row 3: said before; expected one row"),
        ("c.csv", "layer,expert,count\n1,67108864,3\n", "experts up to 67108864; expected 6710"),
        ("c.csv", '1,"2\n', "malformed CSV"),
        ("c.csv", "1,2\n3\n", "lists of unequal length"),
        ("c.csv", ",\n", "empty; expected rows of counts"),
    ],
)
def test_malformed(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InstanceError) as caught:
        import_counts(path, ranks=1, profile=["all"])
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_popularity(tmp_path: Path) -> None:
    path = write(tmp_path, "p.json", {"total_input_tokens": 12, "expert_popularity": DAY})
    problem = import_popularity(path, ranks=2)
    assert problem.counts.tolist() == [DAY]
    with pytest.raises(InstanceError, match="expert_popularity: no table; expected counts by"):
        import_popularity(write(tmp_path, "q.json", {"total": 1}), ranks=2)


@pytest.mark.skipif(not DATA.is_dir(), reason="no recorded loads; set MAPC_DATA")
def test_published_loads() -> None:
    problem = import_counts(COUNTS, profile=["all"], ranks=32, nodes=4, slots=9, layers_from=3)
    assert problem.counts.shape == (6, 58, 256)
    assert (problem.layer_ids[0], problem.layer_ids[-1], problem.model_layers) == (3, 60, 61)
    # a balanced layer costs 1, however long the recording was
    assert problem.counts.sum(axis=(1, 2)) * problem.scale == pytest.approx([58 * 32] * 6)
    with pytest.raises(UsageError, match="6 profiles; expected --profile all, or some of prefill_"):
        import_counts(COUNTS, ranks=32)
    assert import_popularity(POPULARITY, ranks=4).counts.shape == (1, 32, 8)
