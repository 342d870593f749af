import math
import shlex
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.visual.page_words import (
    BAD,
    GOOD,
    PLAIN,
    again,
    differs,
    facts,
    gap,
    impossible,
    said,
    short,
    tiles,
    told,
    verdict,
)
from mapc.visual.view import Record, View

PLAN = object()


def view(objective=392, violations=(), plan=PLAN, label="plan.json", **record):
    record = {"status": "optimal", "objective": objective, "bound": objective} | record
    return View(
        label, "memory", None, plan, Record(**record), objective, {}, violations, "{} KiB".format
    )


@pytest.mark.parametrize(
    ("seen", "expected", "how"),
    [
        (view(), "optimal: 392 KiB; no plan can have less", GOOD),
        (
            view(status="feasible", bound=350),
            "feasible: 392 KiB, at most 12 % above the best possible",
            PLAIN,
        ),
        (view(status="feasible"), "feasible: 392 KiB; no plan can have less", PLAIN),
        (
            view(status="feasible", bound=0),
            "feasible: 392 KiB; no plan can have less than 0 KiB",
            PLAIN,
        ),
        (
            view(status="feasible", bound=None),
            "feasible: 392 KiB; how far from the best is not known",
            PLAIN,
        ),
        (
            view(status="feasible", bound=350, interrupted=True),
            "interrupted, feasible: 392 KiB, at most 12 % above the best possible",
            PLAIN,
        ),
        (
            view(None, plan=None, status="infeasible", reason="too large"),
            "infeasible: too large",
            BAD,
        ),
        (
            view(None, plan=None, status="unknown", reason="no time", interrupted=True),
            "interrupted, no plan: no time",
            BAD,
        ),
        (view(None, plan=None, status="unknown"), "no plan: none was found", BAD),
        (view(violations=("a", "b")), "invalid: the plan breaks 2 rules", BAD),
        (view(None), "unknown: what the plan comes to cannot be told", BAD),
        (view(status="", bound=None), "valid: 392 KiB; nothing is known of the run", PLAIN),
        (view(bound=500), "feasible: 392 KiB; the bound in the file is above that", PLAIN),
    ],
)
def test_verdicts(seen, expected, how):
    word, rest, found = verdict(seen)
    assert f"{word}{rest}".startswith(expected)
    assert found == how


def test_a_file_that_says_something_else_is_not_believed():
    seen = replace(view(), objective=400)
    assert differs(seen)
    assert verdict(seen)[0] == "feasible"
    assert not differs(view())
    assert not differs(view(None))


def test_bounds_above_the_plan_are_impossible():
    assert impossible(view(bound=393))
    assert not impossible(view(bound=392))
    assert not impossible(view(bound=None))
    assert not impossible(view(bound=393, violations=("rule",)))


def test_tiles():
    found = {label: (value, more) for label, value, more in tiles(view(bound_method="cut"))}
    assert found["bound"] == ("392 KiB", "by cut")
    assert found["gap"] == ("0 %", "")
    assert found["seconds"] == ("\N{EN DASH}", "")
    assert gap(view(bound=196)) == 0.5


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(value):
    assert said(view(), value) == "\N{EN DASH}"


def test_a_phrase_that_fails_costs_only_its_words():
    assert said(replace(view(), phrase=lambda value: 1 / 0), 1234) == "1,234"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ""),
        ({"time_limit": 20.0, "gap": 0.0, "seed": 0}, " --time-limit 20 --seed 0"),
        ({"time_limit": None, "workers": 2}, " --time-limit none --workers 2"),
        (
            {"gap": 0.01, "methods": ["exact search", "b"], "memory_limit": "4GiB"},
            " --gap 0.01 --method 'exact search' --method b --memory-limit 4GiB",
        ),
        ({"minimize": "peak", "methods": 5}, " --minimize peak"),
    ],
)
def test_how_to_do_it_again(asked, expected):
    assert again(view(asked=asked)) == f"mapc solve plan.json{expected}"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_shell_takes_any_name_for_one_word(label, method):
    found = shlex.split(again(view(label=label, asked={"methods": [method]})))
    assert len(found) == 5
    assert found[:2] == ["mapc", "solve"]
    assert found[3] == "--method"


def test_again_is_a_command_that_exists():
    from mapc.cli.solve import solve

    asked = {"time_limit": 1, "gap": 0.1, "seed": 1, "workers": 1, "methods": ["a"]}
    asked |= {"memory_limit": "1GiB", "minimize": "peak"}
    words = shlex.split(again(view(asked=asked)))
    known = {name for option in solve.params for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_facts_have_labels_and_units():
    assert facts({"peak_bytes": 2048, "step_ms": 1.5, "m_r_bytes": 1, "idle_rank_share": 0.25}) == [
        ("peak", "2 KiB"),
        ("step", "1.5 ms"),
        ("M_R", "1 B"),
        ("idle rank", "25 %"),
    ]


def test_values_of_any_kind():
    assert told({"a": 1, "b": [2, None]}) == "a: 1; b: 2; \N{EN DASH}"
    assert told(list(range(100))) == "0; 1; 2; 3; 4; 5; 6; 7; and 92 more"
    assert told(np.int64(2048), "bytes") == "2 KiB"
    assert told(np.array([1, 2])) == "1; 2"
    assert told(True) == "yes"
    assert told([]) == told({}) == "none"
    assert told(PLAN).startswith("<object")


def test_short_names_tell_apart():
    named = [view(label=label) for label in ("a/x.json", "b/y.json")]
    assert short(named) == ["x.json", "y.json"]
    assert short([view(label=label) for label in ("a/x.json", "b/x.json")]) == [
        "a/x.json",
        "b/x.json",
    ]
    assert short([view(label="x.json")] * 2) == ["1: x.json", "2: x.json"]
    assert short([view(label="")]) == ["plan"]
