import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.wording.runs import asked_rows, solve_call, solve_command


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ""),
        ({"time_limit": 20.0, "gap": 0.0, "seed": 0}, " --time-limit 20 --seed 0"),
        ({"time_limit": None, "workers": 2}, " --time-limit none --workers 2"),
        (
            {"gap": 0.01, "methods": ["exact search", "b"], "memory_limit": 4096},
            " --gap 0.01 --memory-limit 4096 --method 'exact search' --method b",
        ),
        ({"minimize": "peak", "methods": 5}, " --minimize peak"),
    ],
)
def test_commands(asked, expected):
    assert solve_command("plan.json", asked) == f"mapc solve plan.json{expected}"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_shell_takes_any_name_for_one_word(file, method):
    found = shlex.split(solve_command(file, {"methods": [method]}))
    assert len(found) == 5
    assert found[:2] == ["mapc", "solve"]
    assert not found[2].startswith("-")
    assert found[3] == "--method"


def test_names_that_are_no_text_are_escaped():
    expected = r"mapc solve $'caf\xe9\x0a.json' --seed 1"
    assert solve_command("caf\udce9\n.json", {"seed": 1}) == expected


def test_commands_have_options_that_exist():
    from mapc.cli.solve import solve

    asked = {"time_limit": 1, "gap": 0.1, "seed": 1, "workers": 1, "methods": ["a"]}
    asked |= {"memory_limit": 4096, "minimize": "peak"}
    words = shlex.split(solve_command("plan.json", asked))
    known = {name for option in solve.params for name in option.opts}
    given_ = {word for word in words if word.startswith("--")}
    assert len(given_) == len(asked)
    assert given_ <= known


@pytest.mark.parametrize("file", ["", "a'b.json"])
def test_calls_are_python_with_arguments_that_exist(file):
    import ast
    import inspect

    import mapc

    asked = {"time_limit": None, "gap": 0.25, "seed": 1.0, "workers": 4, "minimize": "peak"}
    asked |= {"methods": ["a", 'b"'], "backends": [], "memory_limit": 2**32}
    call = ast.parse(solve_call(file, asked), mode="eval").body
    found = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert found == asked
    assert set(found) <= set(inspect.signature(mapc.solve).parameters)
    assert ast.unparse(call.args[0]) == (f"mapc.read({file!r})" if file else "problem")


def test_what_goes_without_saying_is_not_said():
    assert solve_call("", {"gap": 0.0, "workers": 1}) == "mapc.solve(problem)"


def test_options_in_words():
    asked = {"time_limit": 10.0, "gap": 0.0, "seed": 0, "workers": 1, "memory_limit": 2**32}
    assert asked_rows(asked) == [
        ("time limit", "10 s"),
        ("gap to stop at", "0 %"),
        ("seed", "0"),
        ("workers", "1"),
        ("memory limit of each solver", "4 GiB"),
        ("methods", "all that run by default"),
    ]
    found = dict(asked_rows({"time_limit": None, "methods": ["gap", "cosma"], "backends": []}))
    assert found == {"time limit": "none", "methods": "gap, cosma", "backends": "none"}
    assert asked_rows({}) == []


@given(
    st.dictionaries(
        st.sampled_from(["time_limit", "gap", "memory_limit", "methods", "x"]),
        st.none() | st.booleans() | st.text() | st.lists(st.integers()) | st.floats(),
    )
)
def test_options_may_be_anything(asked):
    rows = asked_rows(asked)
    assert len(rows) >= len(asked)
    assert all(isinstance(text, str) for row in rows for text in row)
    assert solve_command("p.json", asked).startswith("mapc solve p.json")
    assert solve_call("", asked).startswith("mapc.solve(problem")
