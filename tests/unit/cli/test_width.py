"""Eighty columns: what every command prints, off a terminal, on instances with long names.

A single word may be longer, because a path that is broken cannot be copied; files for runtimes,
JSON, and commands to paste are as they have to be.
"""

import json
import random
import re
from dataclasses import replace

import pytest

import mapc
from benching import build_library
from mapc.cli.app import COMMANDS
from mapc.cli.terminal import cells
from mapc.deploy import EXPORTERS
from mapc.instances.generators import GENERATORS
from mapc.instances.importers import IMPORTERS
from mapc.models import KINDS, family
from mapc.solvers.base import Event, Status
from mapc.solvers.result import Result

LONG = "model.layers.{}.self_attention.query_key_value_projection.weight.quantized"
WORDS = "a name of several words that goes on and on for more than sixty characters"


def tensor(number):
    return LONG.format(number)


NET = {
    "name": WORDS,
    "unit": "KiB",
    "inputs": [tensor(0)],
    "outputs": [tensor(4)],
    "tensors": {tensor(i): size for i, size in enumerate([40001, 40001, 80002, 40001, 40001])},
    "ops": [
        {
            "op": "mix",
            "name": f"op.{tensor(out)}",
            "ins": list(map(tensor, ins)),
            "outs": [tensor(out)],
        }
        for out, ins in [(1, [0]), (2, [1]), (3, [2]), (4, [1, 3])]
    ],
}
FORMATS = {"a-number-format-with-a-name-of-forty-letters": 4, "fp8_e4m3": 8, "bf16": 16}


def memory(folder):
    (folder / "net.json").write_text(json.dumps(NET))
    return mapc.read(folder / "net.json", scratchpad="M_R")


def allocation(folder):
    rows = [f"{tensor(i)},{i},{i + 3},{1_000_003 * (i + 1)}" for i in range(6)]
    (folder / "buffers.csv").write_text("\n".join(["id,lower,upper,size", *rows]))
    return mapc.read(folder / "buffers.csv")


def bits(folder):
    rows = [
        f"{tensor(i)},{name},{1.2345678 * (i + 1) * (16 - width)},4194304,{4194304 * width},{width}"
        for i in range(6)
        for name, width in FORMATS.items()
    ]
    columns = f"group,format,loss,weights,size,{LONG}"
    (folder / "losses.csv").write_text("\n".join([columns, *rows]))
    return mapc.read(folder / "losses.csv", importer="table", budgets=["size=6bpw"])


def placement(folder):
    draw = random.Random(1)
    loads = [",".join(str(draw.randint(10**6, 10**8)) for _ in range(8)) for _ in range(3)]
    (folder / "loads.csv").write_text("\n".join(loads))
    return mapc.read(folder / "loads.csv", importer="counts", ranks=4, nodes=2, slots=3)


def sequence(folder):
    draw = random.Random(1)
    (folder / "lengths.txt").write_text("\n".join(str(draw.randint(100, 9000)) for _ in range(24)))
    return mapc.read(folder / "lengths.txt", importer="lengths", ranks=8, batch=24)


MAKERS = {one.__name__: one for one in (memory, allocation, bits, placement, sequence)}
QUICK = {
    "memory": ["tightest-operator", "eviction"],
    "allocation": ["bounds", "greedy"],
    "bits": ["floor", "uniform", "hull-greedy"],
    "placement": ["floor", "contiguous", "eplb", "descent"],
    "sequence": ["area", "homogeneous", "packing"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By family an instance file and a plan file, in one folder."""
    folder = tmp_path_factory.mktemp("width")
    found = {}
    for kind in KINDS:
        problem = MAKERS[kind](folder)
        if hasattr(problem, "name"):
            problem = replace(problem, name=WORDS)
        instance, plan = folder / f"{kind}.json", folder / f"{kind}.plan.json"
        mapc.write(problem, instance)
        result = mapc.solve(problem, time_limit=None, methods=QUICK[kind])
        assert result.plan is not None
        mapc.write(result, plan, problem=problem)
        found[kind] = (instance, plan)
    return found


@pytest.fixture(autouse=True)
def eighty(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture
def fits(run):
    """``fits("show", file)``: run a command; its output, every line of which has to fit."""

    def check(*args, codes=(0,)):
        done = run(*args)
        assert done.exit_code in codes, done.stderr
        assert done.stdout.strip()
        wide = [line for line in done.stdout.splitlines() if too_wide(line)]
        assert not wide, "\n".join(wide)
        assert "\x1b" not in done.stdout
        return done.stdout

    return check


def too_wide(line):
    if cells(line) <= 80:
        return False
    last = re.split(r" {2,}", line.strip())[-1]  # of a table, what stands in its last column
    return " " in last or len(last) < 40


def quick(kind):
    return [word for name in QUICK[kind] for word in ("--method", name)]


def test_what_is_too_wide():
    assert not too_wide("x" * 80)
    assert too_wide("word " * 17)
    assert not too_wide(f"written   /{'folder/' * 20}")
    assert not too_wide("x" * 200)
    assert too_wide(f"label   {'word ' * 16}")
    assert too_wide("1234567890  " * 8)


EVERY_FAMILY = pytest.mark.parametrize("kind", KINDS)


@EVERY_FAMILY
def test_figures(fits, files, kind):
    instance, plan = files[kind]
    shown = fits("show", instance)
    assert WORDS.split()[-1] in shown or kind == "allocation"
    fits("import", instance, "-o", instance.with_suffix(".copy.json"))
    options = ["--formulation", "balance"] if kind == "placement" else []  # has replicas
    fits("lower", instance, *options)
    assert fits("check", plan).startswith("valid: ")


@EVERY_FAMILY
def test_solve(fits, files, kind):
    instance, plan = files[kind]
    target = plan.with_name(f"{kind}.a-plan-file-with-a-name-of-more-than-thirty-letters.json")
    shown = fits("solve", instance, "-q", "--time-limit", "none", *quick(kind), "-o", target)
    assert str(target) in shown  # whole, on one line


@EVERY_FAMILY
def test_compare(fits, files, kind):
    shown = fits("compare", files[kind][0], "-q", "--time-limit", "none", *quick(kind))
    assert [name for name in QUICK[kind] if name in shown] == QUICK[kind]


@EVERY_FAMILY
def test_compare_of_all_methods_with_the_longest_figures(fits, files, kind, monkeypatch):
    """Numbers as long as they get, and every column there is."""
    own = {
        "placement": ("balancedness", "worst_balancedness", "cross_rank", "cross_node", "moves"),
        "sequence": ("micro_batches", "groups", "idle_rank_share", "memory_share"),
    }
    names = [method.name for method in family(kind).methods]
    names += [f"a-method-with-a-name-of-more-than-thirty-letters-{i}" for i in range(12)]
    value = 12_345_678_901.875
    results = {
        name: Result(
            kind,
            Status.FEASIBLE,
            plan=object(),
            objective=value + at,
            bound=value - 10**9,
            seconds=12345.678,
            facts={key: 14848 + at + 7 * i for i, key in enumerate(own.get(kind, ()))},
            notes=(f"{WORDS}: {WORDS}, {tensor(7)}",),
            phrase=lambda value: f"{value:,.3f} KiB extra off-chip traffic",
        )
        for at, name in enumerate(names)
    }
    monkeypatch.setattr("mapc.api.compare", lambda *args, **options: results)
    shown = fits("compare", files[kind][0], "-q")
    for one in results.values():
        assert f"{one.objective:,.3f} KiB" in shown  # numbers are never cut
    if kind == "placement":
        assert "14,876" in shown.split("\n\n")[1]  # in a second table, `moves`


@EVERY_FAMILY
def test_a_plan_that_breaks_rules(fits, files, kind, monkeypatch):
    """Sentences of the verifier name tensors, and two of them."""
    _, plan = files[kind]
    verify = family(kind).verify

    def refuse(problem, plan):
        verdict = verify(problem, plan)
        broken = f"{tensor(1)} and {tensor(2)} overlap: bytes 1,234,567 to 2,345,678 at step 12"
        return replace(verdict, violations=(broken, WORDS + ", " + WORDS))

    monkeypatch.setattr(type(family(kind)), "verify", staticmethod(refuse))
    shown = fits("check", plan, codes=(7,))
    assert tensor(1) in shown
    assert tensor(2) in shown


def test_a_summary_with_everything_in_it(fits, files, monkeypatch):
    events = [
        Event(1234.56, "incumbent", 12_345_678, 1),
        Event(2345.67, "bound", 12_345_678, 12_345_677),
        Event(3456.78, "bound", 12_345_678, 12_345_677.999),
    ]
    solved = mapc.solve(mapc.read(files["bits"][0]), time_limit=None, methods=["floor", "uniform"])
    result = replace(
        solved,
        trajectory=tuple(events),
        seconds=12345.678,
        notes=(WORDS + ": " + WORDS, tensor(3) + ": " + WORDS),
        method=WORDS,
        bound_method=WORDS,
    )
    monkeypatch.setattr("mapc.api.solve", lambda *args, **options: result)
    shown = fits("solve", files["bits"][0], "-q")
    (row,) = [line for line in shown.splitlines() if line.startswith("gap over time")]
    assert row.endswith("100.00 % at 1234.56 s, 8.1e-09 % at 3456.78 s")


@pytest.mark.parametrize(
    "options",
    [
        ["memory", "--front"],
        ["bits", "--front"],
        ["bits", "--front", "--points", "4"],
        ["allocation", "--minimize", "peak", "--method", "bounds", "--method", "greedy"],
    ],
    ids=" ".join,
)
def test_fronts(fits, files, options):
    kind, *rest = options
    source = files[kind][0].with_name("net.json") if kind == "memory" else files[kind][0]
    fits("solve", source, "-q", "--time-limit", "none", *rest)


def test_a_front_of_large_numbers(fits, files, monkeypatch):
    from mapc.models.fronts import OPEN, Front

    front = mapc.front(mapc.read(files["memory"][0].with_name("net.json")), time_limit=None)
    n = len(front)
    wide = {
        name: ["not proven at all"] * n if name == "status" else [12_345_678_901 + 1023] * n
        for name in front.columns
    }
    large = replace(front, kind=OPEN, columns=wide, notes=(WORDS + ": " + WORDS,))
    assert isinstance(large, Front)
    monkeypatch.setattr("mapc.api.front", lambda *args, **options: large)
    shown = fits("solve", files["memory"][0].with_name("net.json"), "-q", "--front")
    for name in front.columns:
        assert name in shown


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_generate(fits, tmp_path, kind):
    needed = [option for option in GENERATORS[kind].options if option.required]
    sizes = [word for one in needed for word in (one.flag, one.choices[0] if one.choices else "4")]
    fits("generate", kind, *sizes, "-o", tmp_path / f"{kind}.json")


@pytest.mark.parametrize(
    "args", [["export", "--list"], ["solvers"], ["bench", "LIBRARY", "--list"]], ids=" ".join
)
def test_lists(fits, library, args):
    fits(*[library if arg == "LIBRARY" else arg for arg in args])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build_library(tmp_path_factory.mktemp("library"))


def test_libraries(fits, library, files):
    fits("bench", library, "--time-limit", "none", "-q", "--kind", "allocation")
    name = "an-instance-with-a-name-of-more-than-forty-letters"
    source = files["allocation"][0]
    fits("record", library, name, source, "--origin", WORDS, "--method", "greedy")
    fits("bench", library, "--time-limit", "none", "-q", "--name", name)
    report = fits("regress", library, "-q", "--name", name)
    assert name in report


def test_simulate(fits, files):
    lengths = files["sequence"][0].with_name("lengths.txt")
    options = ("--ranks", "8", "--batch", "12", "--steps", "2", "-q")
    fits("simulate", lengths, *options, "--methods", "static,homogeneous,megatron")


HELP = [
    *([name] for name in COMMANDS),
    *(["import", name] for name in IMPORTERS),
    *(["generate", name] for name in GENERATORS),
    *(["export", "--to", name] for name in EXPORTERS),
]


@pytest.mark.parametrize("args", HELP, ids=" ".join)
def test_help(fits, args):
    fits(*args, "--help")
