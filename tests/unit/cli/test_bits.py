import json
from types import SimpleNamespace

import pytest

import mapc
from mapc.wording import bits
from oracles.printed import table


def solved(run, layers, *options):
    done = run("solve", layers, "--json", "-q", *options)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


# -- results ---------------------------------------------------------------------------------------


def test_result_for_people(run, layers):
    done = run("solve", layers, "-q")
    rows = table(done)
    assert rows["objective"] == "a loss of 11"
    assert rows["size"] == "20 B of 20 B (100.00 %), 5 bits per weight"
    assert rows["latency"] == "12 us (no budget)"
    assert rows["formats"] == (
        "int4: 2 groups, 75.0 % of the weights; int8: 1 group, 25.0 % of the weights"
    )
    assert rows["all int4"] == "fits, a loss of 18"
    assert rows["all int8"] == "does not fit: size takes 32 B; a loss of 4"
    assert rows["mixed formats"] == "38.89 % less loss than int4 everywhere"
    assert not {"edges", "switches", "tied sets", "loss", "cost", "budgets"} & rows.keys()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_mixed_formats_that_do_not_pay(run, layers):
    rows = table(run("solve", layers, "-q", "--budget", "size=4bpw"))
    assert rows["mixed formats"] == "no better than int4 everywhere"


def test_groups_that_cannot_have_a_format(run, layers):
    document = json.loads(layers.read_text())
    document["problem"]["options"]["forbidden"] = [4]  # "down" as int4
    document["problem"]["resources"]["budget"] = [192, None]
    layers.write_text(json.dumps(document))
    rows = table(run("solve", layers, "-q"))
    assert rows["all int4"] == "fits, a loss of 14, 1 group cannot have it"
    assert rows["mixed formats"] == "no better than int4 everywhere"


def test_no_single_format_fits(run, layers):
    document = json.loads(layers.read_text())
    # int4 is now the one that takes long, int8 the one that takes room
    document["problem"]["options"]["cost"][1] = [9, 1, 9, 1, 9, 1]
    document["problem"]["resources"]["budget"] = [192, 20]
    layers.write_text(json.dumps(document))
    rows = table(run("solve", layers, "-q"))
    assert rows["all int4"] == "does not fit: latency takes 27 us; a loss of 18"
    assert rows["mixed formats"] == "no single format fits the budgets"


def test_result_for_machines(run, layers):
    found = solved(run, layers)
    assert found["kind"] == "bits"
    assert (found["objective"], found["loss"], found["bits_per_weight"]) == (11, 11, 5)
    assert found["cost"] == {"size": 160, "latency": 12}
    assert found["budgets"] == {
        "size": {"unit": "bits", "budget": 160},
        "latency": {"unit": "us", "budget": None},
    }
    assert found["formats"] == {"int4": 2, "int8": 1}
    assert found["weights_per_format"] == {"int4": 24, "int8": 8}
    assert [(row["format"], row["loss"], row["within_budgets"]) for row in found["uniform"]] == [
        ("int4", 18, True),
        ("int8", 4, False),
    ]
    assert found["uniform"][1]["cost"] == {"size": 256, "latency": 16}


def test_switches_count_where_there_are_edges(run, layers):
    document = json.loads(layers.read_text())
    document["problem"]["edges"] = {"first": [0], "second": [1], "loss": [0.5]}
    layers.write_text(json.dumps(document))
    assert table(run("solve", layers, "-q"))["switches"] == "1"


def test_figures_of_a_problem(run, layers):
    rows = table(run("show", layers))
    assert rows["size"] == "budget 20 B; choices take 16 B to 32 B"
    assert rows["latency"] == "no budget; choices take 11 to 16 us"
    assert rows["all int4"] == "fits, a loss of 18"
    assert rows["all int8"] == "does not fit, a loss of 4"
    assert (rows["groups"], rows["options"], rows["weights"]) == ("3", "6", "32")
    assert list(rows)[-1] == "SHA-256"
    assert json.loads(run("show", layers, "--json").stdout)["costliest"]["size"] == 256


def test_check_says_how_far_budgets_are_used(run, layers, tmp_path):
    plan = tmp_path / "plan.json"
    run("solve", layers, "-o", plan, "-q")
    done = run("check", plan)
    assert done.stdout == (
        "valid: a loss of 11, size 20 B of 20 B (100.00 %), 5 bits per weight, latency 12\n"
        "  us (no budget)\n"
    )
    assert "capacity_bytes" not in json.loads(run("check", plan, "--json").stdout)


# -- words -----------------------------------------------------------------------------------------


def test_verdict():
    best = SimpleNamespace(format="int4", loss=2.0)
    assert bits.verdict(1.0, None) == "no single format fits the budgets"
    assert bits.verdict(2.0, best) == "no better than int4 everywhere"
    assert bits.verdict(3.0, best) == "worse than int4 everywhere, which loses 2"
    assert bits.verdict(1.0, best) == "50.00 % less loss than int4 everywhere"
    assert bits.verdict(2.0 - 1e-9, best) == "5.0e-08 % less loss than int4 everywhere"
    assert bits.verdict(0.0, SimpleNamespace(format="int4", loss=0.0)).startswith("no better")
    for loss, less in ((-2.5, "0.25"), (0.0, "2.75"), (1.0, "3.75")):
        below = SimpleNamespace(format="int4", loss=loss)
        assert bits.verdict(-2.75, below) == f"{less} less loss than int4 everywhere"


# -- budgets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budgets", "loss"),
    [
        (["size=6bpw"], 8),
        (["size=256"], 4),
        (["size=32B"], 4),
        (["size=0.25"], 11),
        (["size=none"], 4),
        (["size=none", "latency=0.8x"], 11),
        (["size=7bpw", "latency=13"], 8),
    ],
)
def test_budgets(run, layers, budgets, loss):
    options = [word for budget in budgets for word in ("--budget", budget)]
    assert solved(run, layers, *options)["objective"] == loss


BAD_BUDGETS = {
    "no amount": (("--budget", "size"), 2, "expected RESOURCE=AMOUNT, e.g. size=4.5bpw"),
    "no resource": (("--budget", "=4"), 2, "expected RESOURCE=AMOUNT"),
    "unknown": (("--budget", "bops=0.5x"), 2, "expected size, latency"),
    "nonsense": (("--budget", "size=much"), 2, "not an amount; expected 4.5bpw"),
    "twice": (("--budget", "size=4bpw", "--budget", "size=5bpw"), 2, "'size' has one already"),
    "no weights": (("--budget", "latency=4bpw"), 2, "not in bits or bytes"),
    "too small": (("--budget", "size=3bpw"), 3, "give at least 128"),
    "scratchpad": (("--scratchpad", "4KiB"), 2, "give --budget RESOURCE=AMOUNT"),
}


@pytest.mark.parametrize("name", BAD_BUDGETS)
def test_bad_budgets(run, layers, tmp_path, name):
    options, code, message = BAD_BUDGETS[name]
    done = run("solve", layers, "-q", "-o", tmp_path / "plan.json", *options)
    assert done.exit_code == code
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("command", ["solve", "show", "lower"])
def test_a_family_without_budgets_refuses_them_by_name(run, net, command):
    done = run(command, net, "--budget", "size=4bpw")
    assert done.exit_code == 2
    assert "budgets do not apply to memory problems; expected one of bits" in done.stderr


def test_an_instance_keeps_the_budgets_it_was_imported_with(run, layers, tmp_path):
    target = tmp_path / "instance.json"
    done = run("import", layers, "--budget", "size=6bpw", "-o", target, "--json")
    assert json.loads(done.stdout)["budgets"]["size"]["budget"] == 192
    assert mapc.read(target).budget == (192, None)


# -- plans made under other budgets ----------------------------------------------------------------


@pytest.fixture
def plan(run, layers, tmp_path):
    path = tmp_path / "plan.json"
    assert run("solve", layers, "--budget", "size=6bpw", "-o", path, "-q").exit_code == 0
    return path


def test_another_budget_is_another_instance(run, layers, plan):
    done = run("check", layers, plan)
    assert done.exit_code == 7
    assert "made for size=192, the instance has size=160; give --budget size=192" in done.stderr
    assert run("check", layers, plan, "--budget", "size=192").exit_code == 0


def test_an_open_budget_is_taken_from_the_plan(run, layers, plan, tmp_path):
    instance = tmp_path / "open.json"
    run("import", layers, "--budget", "size=none", "-o", instance)
    done = run("check", instance, plan, "--json")
    assert (done.exit_code, json.loads(done.stdout)["valid"]) == (0, True)


def test_a_budget_given_now_rules(run, layers, plan):
    assert run("check", plan, "--budget", "size=none").exit_code == 0
    for files in ([plan], [layers, plan]):
        done = run("check", *files, "--budget", "size=5bpw")
        assert done.exit_code == 7
        assert "above the budget 160" in done.stderr


def test_other_resources_are_another_instance(run, layers, plan):
    document = json.loads(layers.read_text())
    document["problem"]["resources"]["name"] = ["size", "bops"]
    layers.write_text(json.dumps(document))
    done = run("check", layers, plan)
    assert (done.exit_code, "another instance" in done.stderr) == (7, True)


def test_budgets_of_no_budgeted_family_are_refused_by_check(run, net, tmp_path):
    plan = tmp_path / "memory.json"
    run("solve", net, "--scratchpad", "M_R", "-o", plan, "-q")
    done = run("check", plan, "--budget", "size=4bpw")
    assert (done.exit_code, "do not apply to memory problems" in done.stderr) == (2, True)
