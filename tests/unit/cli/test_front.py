import csv
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import Ragged
from mapc.models.bits import sweep
from mapc.models.bits.problem import BitsProblem
from mapc.models.fronts import Front


def separable(loss, cost, unit="bits", weights=1):
    """A problem of n groups with m options each; one resource."""
    n, m = np.shape(loss)
    return BitsProblem(
        name="p",
        groups=tuple(f"g{i}" for i in range(n)),
        formats=tuple(f"f{j}" for j in range(m)),
        start=np.arange(0, n * m + 1, m, dtype=np.int64),
        format_of=np.tile(np.arange(m, dtype=np.int64), n),
        loss=np.ravel(loss).astype(np.float64),
        resources=("size",),
        units=(unit,),
        cost=np.reshape(cost, (1, -1)).astype(np.int64),
        budget=(None,),
        weights=np.full(n, weights, dtype=np.int64),
        allowed=np.ones(n * m, dtype=np.bool_),
        ties=Ragged.of([]),
    )


def choices(problem):
    """Cost and loss of every choice."""
    n, m = problem.n_groups, problem.n_options // problem.n_groups
    cost, loss = problem.cost[0].reshape(n, m), problem.loss.reshape(n, m)
    across = range(n)
    return [
        (int(cost[across, pick].sum()), float(loss[across, pick].sum()))
        for pick in map(list, itertools.product(range(m), repeat=n))
    ]


problems = st.integers(1, 3).flatmap(
    lambda n: st.integers(1, 3).flatmap(
        lambda m: st.builds(
            separable,
            *(
                st.lists(
                    st.lists(st.integers(0, 9), min_size=m, max_size=m), min_size=n, max_size=n
                )
                for _ in range(2)
            ),
        )
    )
)


@settings(deadline=None, max_examples=60)
@given(problems, st.integers(0, 5))
def test_no_choice_lies_below_the_front(problem, price):
    found = sweep.supported(problem, 0)
    points = list(zip(found.columns["cost"], found.columns["loss"], strict=True))
    every = choices(problem)
    assert set(points) <= set(every)
    assert found.columns["cost"] == sorted(set(found.columns["cost"]))
    assert min(loss + price * cost for cost, loss in points) == min(
        loss + price * cost for cost, loss in every
    )


@settings(deadline=None, max_examples=60)
@given(problems, st.integers(2, 5))
def test_certified_points_are_the_best_choices(problem, n):
    found = sweep.certified(problem, 0, n, gap=0.0, stop=lambda: False)
    assert len(found) == n
    every = choices(problem)
    best = min(every, key=lambda choice: (choice[1], choice[0]))
    assert found.columns["budget"][0] == min(cost for cost, _ in every)
    assert found.columns["loss"][-1] == best[1]
    for budget, cost, loss, bound in zip(
        *(found.columns[name] for name in ("budget", "cost", "loss", "bound")), strict=True
    ):
        assert cost <= budget
        assert loss == bound == min(loss for cost, loss in every if cost <= budget)


@settings(deadline=None, max_examples=60)
@given(problems)
def test_all_points_are_those_that_nothing_beats(problem):
    found = sweep.complete(problem, 0)
    every = set(choices(problem))
    best = {
        (cost, loss)
        for cost, loss in every
        if not any(c <= cost and q <= loss and (c, q) != (cost, loss) for c, q in every)
    }
    assert list(zip(found.columns["cost"], found.columns["loss"], strict=True)) == sorted(best)


def test_a_stopped_search_keeps_its_bound():
    rng = np.random.default_rng(0)
    problem = separable(rng.uniform(1, 2, (40, 4)), rng.integers(1, 1000, (40, 4)))
    found = sweep.certified(problem, 0, 4, gap=0.0, stop=lambda: True)
    for name in ("gap", "loss", "bound"):
        assert len(found.columns[name]) == 4
    for loss, bound, gap in zip(
        *(found.columns[name] for name in ("loss", "bound", "gap")), strict=True
    ):
        assert bound <= loss
        assert gap == pytest.approx((loss - bound) / loss)


@pytest.mark.parametrize(
    ("unit", "weights", "expected"),
    [("bits", 4, [2.0, 4.0]), ("bytes", 32, [2.0, 4.0]), ("us", 4, None), ("bits", 0, None)],
)
def test_bits_per_weight_where_they_mean_something(unit, weights, expected):
    found = sweep.supported(separable([[2, 1]], [[8, 16]], unit, weights), 0)
    assert found.columns.get("bits_per_weight") == expected


# -- the command -----------------------------------------------------------------------------------

# all int4: 128 bits, 18; up at int8: 160, 11; gate as well: 192, 8; all int8: 256, 4
POINTS = [(128, 18.0, 4.0), (160, 11.0, 5.0), (192, 8.0, 6.0), (256, 4.0, 8.0)]


def test_table(run, layers):
    done = run("solve", layers, "--front")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:6] == [
        "cost loss bits per weight",
        "16 B 18 4.0000",
        "20 B 11 5.0000",
        "24 B 8 6.0000",
        "32 B 4 8.0000",
        "front 4 supported points of loss against size",
    ]


def test_json(run, layers):
    found = json.loads(run("solve", layers, "--front", "--json").stdout)
    assert (found["kind"], found["resource"], found["unit"]) == ("bits", "size", "bits")
    assert (found["points"], found["count"]) == ("supported", 4)
    columns = zip(found["cost"], found["loss"], found["bits_per_weight"], strict=True)
    assert list(columns) == POINTS


def test_files(run, layers, tmp_path):
    table, document = tmp_path / "front.csv", tmp_path / "front.json"
    done = run("solve", layers, "--front", "-o", table)
    assert f"written  {table}" in done.stdout
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [tuple(map(float, row.values())) for row in rows] == POINTS
    assert list(rows[0]) == ["cost", "loss", "bits_per_weight"]
    said = json.loads(run("solve", layers, "--front", "-o", document, "--json").stdout)
    assert said["output"] == str(document)
    assert "cost" not in said  # in the file
    assert json.loads(document.read_text())["cost"] == [128, 160, 192, 256]


def test_certified(run, layers):
    found = json.loads(run("solve", layers, "--front", "--points", 5, "--json").stdout)
    assert found["points"] == "certified"
    assert found["budget"] == [128, 160, 192, 224, 256]
    assert found["cost"] == [128, 160, 192, 224, 256]
    assert found["loss"] == found["bound"] == [18, 11, 8, 7, 4]
    assert found["gap"] == [0] * 5
    text = run("solve", layers, "--front", "--points", 5).stdout
    assert " ".join(text.splitlines()[0].split()) == "budget cost loss bound gap bits per weight"
    assert "5 certified points" in text


def test_all_points(run, layers):
    found = json.loads(run("solve", layers, "--front", "--points", "all", "--json").stdout)
    assert found["points"] == "all"
    assert found["cost"] == [128, 160, 192, 224, 256]
    assert found["loss"] == [18, 11, 8, 7, 4]
    text = run("solve", layers, "--front", "--points", "ALL").stdout
    assert "5 points of loss against size" in " ".join(text.split())


def test_too_many_points_to_list(run, layers, monkeypatch):
    monkeypatch.setattr("mapc.models.bits.front.whole", lambda reduced: None)
    done = run("solve", layers, "--front", "--points", "all")
    assert (done.exit_code, done.stdout) == (4, "")
    assert "too many points to list; expected --points N" in done.stderr


def test_another_resource(run, layers):
    options = ("--budget", "size=none", "--budget", "latency=12", "--front", "--json")
    found = json.loads(run("solve", layers, *options).stdout)
    assert (found["resource"], found["unit"], found["cost"]) == ("latency", "us", [11, 12, 13, 16])
    assert "bits_per_weight" not in found


def test_long_fronts_are_thinned_on_the_screen_only(run, tmp_path):
    instance, table = tmp_path / "many.json", tmp_path / "front.csv"
    mapc.write(mapc.generate("bits", groups=30), instance)
    shown = run("solve", instance, "--front").stdout
    assert len(shown.splitlines()) < 20
    assert "points; -o FILE.csv writes all" in shown
    run("solve", instance, "--front", "-o", table)
    count = len(table.read_text().splitlines()) - 1
    assert f" {count} supported points" in shown
    assert count > 30


ERRORS = {
    "budgets": (("--budget", "latency=0.8x"), "found size, latency; expected --budget"),
    "no budget": (("--budget", "size=none"), "found none; expected --budget RESOURCE=AMOUNT"),
    "method": (("--method", "core"), "--method does not apply to --front"),
    "proof": (("--require-optimal",), "--require-optimal does not apply to --front"),
    "one point": (("--points", "1"), "'1': expected 2 to 100000, or all"),
    "no points": (("--points", "some"), "'some': expected 2 to 100000, or all"),
    "many points": (("--points", "1" * 30), "expected 2 to 100000, or all"),
    "gap": (("--gap", "nan"), "gap nan: expected a fraction"),
    "target": (("-o", "front.txt"), "expected .csv or .json"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(run, layers, name):
    options, message = ERRORS[name]
    done = run("solve", layers, "--front", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())


def test_points_need_a_front(run, layers):
    done = run("solve", layers, "--points", 3)
    assert (done.exit_code, "expected --front" in done.stderr) == (2, True)


def test_losses_that_do_not_add_up(run, layers):
    document = json.loads(layers.read_text())
    document["problem"]["objective"] = "max"
    layers.write_text(json.dumps(document))
    done = run("solve", layers, "--front")
    assert (done.exit_code, "add up over groups" in done.stderr) == (2, True)


def test_a_family_without_fronts(run, buffers):
    done = run("solve", buffers, "--front")
    assert done.exit_code == 2
    assert "--front does not apply to allocation problems; expected one of bits, memory" in (
        done.stderr
    )


# -- memory: "a" (4 bytes) leaves and comes back below 16 bytes ------------------------------------


def test_traffic_against_capacity(run, net):
    done = run("solve", net, "--front", "--time-limit", "none", "-q")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:4] == [
        "cost traffic bound gap status least",
        "12 B 8 B 8 B 0 % optimal 12 B",
        "16 B 0 B 0 B 0 % optimal 16 B",
        "front 2 points of traffic against capacity",
    ]


def test_columns_of_memory_are_those_of_bits(run, net, tmp_path):
    table = tmp_path / "front.csv"
    run("solve", net, "--front", "--time-limit", "none", "-q", "-o", table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == ["cost", "traffic", "bound", "gap", "status", "least"]
    assert [row["cost"] for row in rows] == ["12", "16"]
    found = json.loads(
        run("solve", net, "--front", "--points", 3, "--time-limit", "none", "--json").stdout
    )
    assert (found["kind"], found["resource"], found["unit"]) == ("memory", "capacity", "bytes")
    assert (found["points"], found["count"]) == ("certified", 3)
    assert found["budget"] == [12, 16, 16]
    assert found["traffic"] == found["bound"] == [8, 0, 0]
    assert found["gap"] == [0, 0, 0]


def test_steps_of_a_memory_front_are_told(run, net):
    done = run("solve", net, "--front", "--time-limit", "none", "--json")
    assert "capacity 12: 8 B extra off-chip traffic" in done.stderr
    assert json.loads(done.stdout)["points"] == "all"


def test_a_memory_front_in_python(net):
    found = mapc.front(mapc.read(net), time_limit=None)
    assert (found.kind, found.value, found.columns["traffic"]) == ("all", "traffic", [8, 0])
    with pytest.raises(mapc.UsageError, match="gap -1: expected a fraction"):
        mapc.front(mapc.read(net), gap=-1)


def test_no_point_writes_nothing(run, net, tmp_path, monkeypatch):
    empty = Front("capacity", "bytes", {"cost": []}, "open", "traffic", ("no plan was found",))
    monkeypatch.setattr("mapc.api.front", lambda problem, **options: empty)
    done = run("solve", net, "--front", "-o", tmp_path / "front.csv", "-q")
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr == "mapc: error: no point of the front: no plan was found\n"
    assert not (tmp_path / "front.csv").exists()


def test_one_point_is_one(run, net, monkeypatch):
    columns = {"cost": [16], "traffic": [0], "bound": [0]}
    one = Front("capacity", "bytes", columns, "open", "traffic")
    monkeypatch.setattr("mapc.api.front", lambda problem, **options: one)
    assert (
        "1 point of traffic against capacity, not all proven"
        in run("solve", net, "--front", "-q").stdout
    )
