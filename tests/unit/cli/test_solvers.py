import json

from mapc.solvers.base import Availability

NONE = {"MAPC_DISABLE": "highs,cpsat,pyomo"}


def test_listing(run):
    done = run("solvers", "--json")
    assert done.exit_code == 0
    found = {one["name"]: one for one in json.loads(done.stdout)["solvers"]}
    assert found["highs"]["works"] is True
    assert found["cpsat"]["version"]


def test_table(run, monkeypatch):
    offers = [
        Availability("good", "1.0", True),
        Availability("bad", "", False, "not installed: " + "a long story " * 12),
    ]
    monkeypatch.setattr("mapc.solvers.registry.all_availability", lambda: offers)
    done = run("solvers")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["solver", "good", "bad"]
    assert max(map(len, lines)) <= 80


def test_none_works(run):
    done = run("solvers", env=NONE)
    assert done.exit_code == 6
    assert "not installed" in done.stdout
    assert done.stderr == "mapc: error: no solver works; mapc needs at least one\n"
    listing = json.loads(run("solvers", "--json", env=NONE).stdout)["solvers"]
    assert not any(one["works"] for one in listing)
