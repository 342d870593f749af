import math
from dataclasses import replace

import pytest

from mapc.visual.page_words import (
    BAD,
    GOOD,
    PLAIN,
    again,
    differs,
    gap,
    impossible,
    plan_rows,
    problem_rows,
    run_rows,
    said,
    short,
    tiles,
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
            replace(view(0), phrase=lambda value: "everything fits"),
            "optimal: everything fits",
            GOOD,
        ),
        (
            view(status="feasible", bound=350),
            "feasible: 392 KiB, at most 12 % above the best possible",
            PLAIN,
        ),
        (
            view(40_000, status="feasible", bound=3),
            "feasible: 40000 KiB, at most 13,334 times the best possible",
            PLAIN,
        ),
        (
            view(40_000, status="feasible", bound=5e-324),
            "feasible: 40000 KiB, at most ∞ times the best possible",
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
        (
            view(bound=500),
            "feasible: 392 KiB; the bound in the file is above that and cannot hold",
            PLAIN,
        ),
    ],
)
def test_verdicts(seen, expected, how):
    word, rest, found = verdict(seen)
    assert f"{word}{rest}" == expected
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
    assert found["objective"] == ("392 KiB", "")
    assert found["gap"] == ("0 %", "")
    assert found["time"] == ("\N{EN DASH}", "")
    assert gap(view(bound=196)) == 0.5
    wordy = replace(view(), phrase="a step of {:,} ms in all".format)
    assert tiles(wordy)[0] == ("objective", "392 ms", "")


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(value):
    assert said(view(), value) == "\N{EN DASH}"


def test_a_phrase_that_fails_costs_only_its_words():
    assert said(replace(view(), phrase=lambda value: 1 / 0), 1234) == "1,234"


RUN = {"time_limit": 10.0, "gap": 0.0, "seed": 0}


def test_a_plan_file_is_solved_again():
    seen = replace(view(asked=RUN, command="mapc solve net.json"), plan_file="a/plan.json")
    (first, command), (_, given) = again(seen)
    assert first.endswith("as the run did:")
    assert command == "mapc solve a/plan.json --time-limit 10 --seed 0"
    assert given == "mapc solve net.json"


def test_a_plan_file_that_knows_nothing_of_its_run_does_not_say_how_it_went():
    ((sentence, command),) = again(replace(view(), plan_file="plan.json"))
    assert "as the run did" not in sentence
    assert command == "mapc solve plan.json"


def test_no_command_can_choose_backends_so_a_call_does():
    seen = replace(view(asked={"backends": ["highs"]}), plan_file="plan.json")
    ((_, call),) = again(seen)
    assert call == "import mapc\n\nmapc.solve(mapc.read('plan.json'), backends=['highs'])"


def test_without_a_file_it_is_the_command_or_the_call():
    ((sentence, text),) = again(view(asked=RUN, command="mapc solve net.json --report r.html"))
    assert "plan file" not in sentence
    assert text == "mapc solve net.json --report r.html"
    ((sentence, text),) = again(view(asked=RUN))
    assert sentence.startswith("In Python")
    assert text == "mapc.solve(problem, time_limit=10, seed=0)"
    assert again(view()) == []


def test_figures_are_those_of_the_verifier_where_the_problem_is_not_known():
    seen = replace(view(seconds=0.25, asked={"seed": 3}), facts={"peak_bytes": 2048})
    assert problem_rows(seen) == []
    assert plan_rows(seen) == [("peak used", "2 KiB")]
    assert run_rows(seen) == [
        ("seed", "3"),
        ("methods", "all that run by default"),
        ("took", "0.25 s"),
    ]
    assert plan_rows(view(plan=None)) == run_rows(view()) == []


def test_short_names_tell_apart():
    named = [view(label=label) for label in ("a/x.json", "b/y.json")]
    assert short(named) == ["x.json", "y.json"]
    assert short([view(label=label) for label in ("a/x.json", "b/x.json")]) == [
        "a/x.json",
        "b/x.json",
    ]
    assert short([view(label="x.json")] * 2) == ["1: x.json", "2: x.json"]
    assert short([view(label="")]) == ["plan"]
