import json
import os
from pathlib import Path

import numpy as np
import pytest

import mapc
from oracles.printed import table

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[4] / "shared" / "data"))
LENGTHS = DATA / "sequence" / "wikipedia_lengths.npz"
needs_data = pytest.mark.skipif(
    not LENGTHS.is_file(), reason="the recorded lengths are not there; set MAPC_DATA"
)

# one rank holds 8 tokens, two 16, four 32; s**2 / (4 d) + 1 ms per token and 4 ms for each group
DOCUMENT = {
    "schema": "mapc/instance",
    "version": 1,
    "kind": "sequence",
    "name": "six",
    "units": {"length": "tokens", "time": "ms"},
    "problem": {
        "lengths": [16, 16, 8, 8, 8, 7],
        "cluster": {"ranks": 4, "node_ranks": 2},
        "modes": {
            "degree": [1, 2, 4],
            "kind": ["ulysses"] * 3,
            "quadratic": [0.25, 0.125, 0.0625],
            "linear": [1.0, 1.0, 1.0],
            "fixed": [4.0, 4.0, 4.0],
            "tokens": [8, 16, 32],
        },
        "padding": 8,
    },
}


@pytest.fixture
def instance(tmp_path):
    path = tmp_path / "six.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.npz"
    np.savez(path, lengths=np.array([9000, 500, 1200, 300, 2500, 700, 40_000]))
    return path


# -- problems --------------------------------------------------------------------------------------


def test_import_and_show(run, corpus, tmp_path):
    target = tmp_path / "inst.json"
    options = ("--batch", 4, "--index", 1, "--ranks", 16, "--ranks-per-node", 8)
    model = ("--model", "gpt-7b", "--max-length", "32K", "--memory-limit-gb", 40)
    done = run("import", "lengths", corpus, *options, *model, "-o", target, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["sequences"], found["tokens"]) == ("sequence", 2, 3200)
    problem = mapc.read(target)
    assert problem.lengths.tolist() == [2500, 700]  # 40,000 tokens are above the limit
    assert (problem.n_ranks, problem.node_ranks, problem.padding) == (16, 8, 128)
    rows = table(run("show", target))
    assert rows["sequences"] == ("2, 3,200 tokens, longest 2,500, padded to multiples of 128")
    assert rows["ranks"] == "16 in 2 nodes"
    assert rows["allowed"].startswith("groups of 1 to 16 ranks, ulysses, ")
    assert rows["held"] == "2 by 1 ranks or more"
    assert rows["needed"].startswith("1 micro-batch or more, of at most ")
    assert rows["bound"].endswith(" ms for a step, by area")
    assert rows["all 16"].startswith("a step of ")


def test_options_of_the_importer(run, corpus, tmp_path):
    target = tmp_path / "inst.json"
    options = ("--ranks", 16, "--memory-limit-gb", 40, "--padding", 64, "--too-long", "clip")
    groups = ("--degrees", "2,8", "--degrees", 16, "--sharing", "both", "--heads", 8)
    rules = ("--bandwidth", "2=100,8=50,16=5", "--least", 2, "--most", 3, "--max-length", "8Ki")
    done = run("import", "lengths", corpus, *options, *groups, *rules, "-o", target)
    assert done.exit_code == 0, done.stderr
    rows = table(done)
    assert rows["allowed"].startswith("groups of 2, 8, 16 ranks, ulysses or ring, ")
    assert rows["allowed"].endswith(" tokens per rank, 2 to 3 micro-batches")
    problem = mapc.read(target)
    assert problem.lengths.max() == 8192
    assert problem.cost.kind == ("ulysses", "ring") * 2 + ("ring",)
    same = mapc.read(
        corpus, importer="lengths", ranks=16, degrees=[2, 8, 16], sharing="both", heads=8,
        bandwidth=["2=100", "8=50", "16=5"], max_length="8Ki", memory_limit_gb=40.0,
    )  # fmt: skip
    assert np.array_equal(same.cost.linear, problem.cost.linear)
    # all-to-alls: MiB of 8 tensors of 32 layers, 4096 numbers of 2 bytes, over GB/s
    expected = (0.1839576 + 8 * 32 * 4096 * 2 / 2**20 / 100) / 2
    assert problem.cost.linear[0] == pytest.approx(expected)


def test_generate(run, tmp_path):
    target = tmp_path / "inst.json"
    options = ("--sequences", 32, "--ranks", 8, "--max-length", "8K", "--model", "gpt-7b")
    for distribution in ("lognormal", "pareto"):
        done = run(
            "generate", "sequence", *options, "--distribution", distribution, "--seed", 3,
            "-o", target,
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
        problem = mapc.read(target)
        again = mapc.generate(
            "sequence", sequences=32, ranks=8, max_length="8K", distribution=distribution, seed=3
        )
        assert np.array_equal(problem.lengths, again.lengths)
        assert problem.lengths.max() <= 8000


# -- results ---------------------------------------------------------------------------------------


def test_result_for_people(run, instance):
    done = run("solve", instance, "-q", "--time-limit", 0, "--method", "static", "--method", "area")
    rows = table(done)
    # 64 tokens in two groups of four ranks of at most 32, one after the other:
    # 2 * 4 + 64 + (2 * 256 + 4 * 64) / 16
    assert rows["objective"] == "a step of 120.0 ms"
    assert rows["micro-batches"] == "2: 68 + 52 ms"
    assert rows["groups"] == "2 of 4 ranks"
    assert rows["idle"] == "0.0 % of all rank-time, no rank without a group"
    assert rows["memory"] == "fullest group 100.0 % full"
    assert rows["padding"] == "1.6 % of the tokens computed"
    assert rows["sequences"] == "6, 63 tokens, longest 16, padded to multiples of 8"
    assert rows["allowed"] == "groups of 1 to 4 ranks, ulysses, 8 tokens per rank"
    assert not {"degrees", "memory share", "micro batch ms", "step ms"} & rows.keys()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_ranks_without_a_group_are_counted(run, instance):
    document = json.loads(instance.read_text())
    document["problem"]["lengths"] = [16, 8]
    instance.write_text(json.dumps(document))
    done = run("solve", instance, "-q", "--time-limit", 0, "--method", "megatron")
    rows = table(done)
    # 16 tokens on two ranks take 4 + 16 + 32 ms, 8 on one take 4 + 8 + 16: 28 of 52 on one rank
    assert rows["groups"] == "1 of 2, 1 of 1 ranks"
    assert rows["micro-batches"] == "1: 52 ms"
    assert rows["idle"] == "36.5 % of all rank-time, ranks without a group: 1"


def test_result_for_machines(run, instance):
    done = run("solve", instance, "-q", "--json", "--time-limit", 0)
    found = json.loads(done.stdout)
    assert found["step_ms"] == found["objective"]
    assert found["bound_step_ms"] == found["bound"] <= found["step_ms"]
    assert found["bound_scope"] == "step"
    assert found["micro_batches"] == len(found["micro_batch_ms"]) == len(found["idle_ranks"])
    assert found["groups"] == sum(found["degrees"].values())
    busy = sum(int(degree) * count for degree, count in found["degrees"].items())
    assert sum(found["idle_ranks"]) == 4 * found["micro_batches"] - busy
    assert sum(found["micro_batch_ms"]) == pytest.approx(found["step_ms"])


def test_no_plan_for_machines(run, instance):
    done = run("solve", instance, "-q", "--json", "--time-limit", 0, "--method", "area")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["step_ms"]) == (4, None)
    assert found["bound_step_ms"] == found["bound"] > 0
    assert "idle_ranks" not in found


def test_check(run, instance, tmp_path):
    plan = tmp_path / "plan.json"
    done = run("solve", instance, "-q", "--time-limit", 0, "--method", "static", "-o", plan)
    assert done.exit_code == 0, done.stderr
    words = "valid: a step of 120.0 ms, 2 micro-batches, memory 100.0 % full"
    assert run("check", instance, plan).stdout.strip() == words
    document = json.loads(plan.read_text())
    document["plan"]["first_rank"][0] = 2
    plan.write_text(json.dumps(document))
    done = run("check", plan)
    assert done.exit_code == 7
    assert "group 0: ranks from 2 on, 4 of them, leave the cluster" in done.stdout


def test_compare(run, instance):
    names = ("area", "homogeneous", "static", "megatron")
    options = [part for name in names for part in ("--method", name)]
    done = run("compare", instance, "-q", "--time-limit", 0, *options)
    header, *lines = done.stdout.splitlines()
    assert header.split()[:8] == [
        "method", "objective", "bound", "gap", "micro", "groups", "idle", "memory",
    ]  # fmt: skip
    shown = {line.split()[0]: line for line in lines if not line.startswith("*")}
    assert list(shown) == ["area", "homogeneous", "megatron", "static"]
    assert "120 ms" in shown["static"].replace("120.0", "120")


@pytest.mark.parametrize("name", ["flexsp", "flexsp-buckets", "flexsp-tight", "aggregate", "step"])
def test_lower(run, instance, name):
    done = run("lower", instance, "--formulation", name, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["columns"] > 6


# -- errors ----------------------------------------------------------------------------------------

ERRORS = {
    "no ranks": ((), 2, "Missing option '--ranks'"),
    "ranks": (("--ranks", 0), 5, "ranks: 0; expected a whole number 1 to"),
    "node": (("--ranks", 12), 5, "nodes of 8 ranks; expected a power of two that divides 12"),
    "too few ranks": (
        ("--ranks", 2),
        5,
        "memory limit: 30 GB; expected 56.95 GB or more, what model states on 2 ranks and one",
    ),
    "past the end": (
        ("--ranks", 64, "--batch", 4, "--index", 2),
        5,
        "corpus.npz: batch 2: 7 sequences; expected 0 to 1",
    ),
    "index": (("--ranks", 64, "--index", -1), 2, "index -1: expected a whole number >= 0"),
    "batch": (("--ranks", 64, "--batch", 0), 2, "batch 0: expected a whole number >= 1"),
    "degree": (
        ("--ranks", 64, "--degrees", "8,128"),
        5,
        "degrees: 128; expected powers of two, 1 to 64",
    ),
    "no power": (("--ranks", 64, "--degrees", 3), 5, "degrees: 3; expected powers of two"),
    "heads": (
        ("--ranks", 64, "--degrees", "8,64", "--heads", 40),
        5,
        "degrees: 64; expected a power of two that divides 40 heads",
    ),
    "model": (("--ranks", 64, "--model", "gpt-8b"), 2, "'gpt-8b' is not one of 'gpt-7b'"),
    "tokens": (("--ranks", 64, "--max-length", "192KB"), 2, "tokens '192KB': expected e.g. 4096"),
    "memory in MB": (
        ("--ranks", 64, "--memory-limit-gb", 30720),
        5,
        "memory limit: 30720.0; expected GB of 1024 MB, above 0 to 8192",
    ),
    "memory is not there": (
        ("--ranks", 64, "--memory-limit-gb", 1),
        5,
        "memory limit: 1 GB; expected 1.79 GB or more",
    ),
    "bandwidth in bytes": (
        ("--ranks", 8, "--memory-limit-gb", 40, "--bandwidth", "2=119540000000"),
        5,
        "bandwidth of degree 2: 119540000000.0; expected GB/s, above 0 to 100000",
    ),
    "bandwidth": (
        ("--ranks", 8, "--bandwidth", "2:100"),
        2,
        "bandwidth '2:100': expected DEGREE=GB/s, e.g. 8=96.5",
    ),
    "bandwidth twice": (
        ("--ranks", 8, "--bandwidth", "2=100,2=90"),
        2,
        "bandwidth: degree 2 twice; expected every degree once",
    ),
    "bandwidth missing": (
        ("--ranks", 64, "--bandwidth", "8=96.5"),
        5,
        "bandwidth: none for degree",
    ),
    "tokens in bytes": (
        ("--ranks", 8, "--model", "megatron", "--tokens-per-rank", 32212254720),
        5,
        "tokens per rank: 32212254720; expected tokens, not bytes: at most 1073741824",
    ),
    "too long": (
        ("--ranks", 8, "--memory-limit-gb", 34, "--max-length", "1M"),
        5,
        "sequence 6: 40064 padded tokens fit no group: the most is",
    ),
    "micro-batches": (("--ranks", 64, "--least", 9), 5, "least: 9; expected an int, 1 to 7"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(run, corpus, tmp_path, name):
    options, code, message = ERRORS[name]
    target = tmp_path / "inst.json"
    done = run("import", "lengths", corpus, *options, "-o", target)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert message in " ".join(done.stderr.split())
    assert code == 2 or len(done.stderr.splitlines()) == 1
    assert not target.exists()


def test_a_sequence_that_fits_nowhere_says_what_would_hold_it(run, corpus, tmp_path):
    options = ("--ranks", 8, "--memory-limit-gb", 34, "--max-length", "1M")
    done = run("import", "lengths", corpus, *options, "-o", tmp_path / "inst.json")
    text = " ".join(done.stderr.split())
    assert "at most" in text
    assert "or at equal memory per rank degree 16, more than the 8 ranks here" in text
    assert text.endswith("or memory for 5008 tokens per rank")


def test_too_few_micro_batches_say_the_least_that_would_do(run, corpus, tmp_path):
    target = tmp_path / "inst.json"
    options = ("--ranks", 16, "--memory-limit-gb", 22, "--max-length", "1M", "--most", 1)
    done = run("import", "lengths", corpus, *options, "-o", target)
    assert done.exit_code == 0, done.stderr
    done = run("solve", target, "-q")
    assert done.exit_code == 3
    assert "padded tokens need 2 micro-batches of at most" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([3, 0, 5]), "lengths[1]: 0; expected a whole number 1 to"),
        (np.array([3, -7]), "lengths[1]: -7; expected a whole number 1 to"),
        (np.array([3.0, np.nan]), "lengths[1]: nan; expected a whole number 1 to"),
        (np.array([3.0, np.inf]), "lengths[1]: inf; expected a whole number 1 to"),
        (np.array(["a", "b"]), "array 'lengths': an array of <U1; expected numbers"),
        (np.array([], dtype=np.int64), "no lengths; expected one whole number for each sequence"),
    ],
)
def test_bad_lengths(run, tmp_path, array, message):
    np.savez(tmp_path / "bad.npz", lengths=array)
    options = ("--ranks", 64, "-o", tmp_path / "inst.json")
    done = run("import", "lengths", tmp_path / "bad.npz", *options)
    assert (done.exit_code, done.stdout) == (5, "")
    assert message in " ".join(done.stderr.split())
    assert len(done.stderr.splitlines()) == 1


def test_missing_arrays_and_files(run, tmp_path):
    target = tmp_path / "inst.json"
    np.savez(tmp_path / "two.npz", tokens=np.ones(3, int), ids=np.ones(3, int))
    done = run("import", "lengths", tmp_path / "two.npz", "--ranks", 64, "-o", target)
    assert done.exit_code == 5
    assert "2 arrays; expected one, or one named 'lengths'" in " ".join(done.stderr.split())
    done = run("import", "lengths", tmp_path / "no.npz", "--ranks", 64, "-o", target)
    assert done.exit_code == 5
    assert "cannot be read: No such file" in " ".join(done.stderr.split())


TIMINGS = {
    "seconds": ("degree,lengths,seconds\n8,512,0.06\n", "line 1: no column 'ms'; expected degree,"),
    "more": (
        "degree,lengths,ms,gpu\n8,512,60,a\n",
        "column 'gpu'; expected degree, lengths, ms, k",
    ),
    "twice": ("degree,lengths,ms,ms\n8,512,60,61\n", "column 'ms' twice"),
    "narrow": ("degree,lengths,ms\n8,512\n", "line 2: 2 fields; expected 3 as in the header"),
    "zero": ("degree,lengths,ms\n8,512,0\n", "line 2: ms: '0'; expected milliseconds above 0"),
    "degree": ("degree,lengths,ms\n3,512,60\n", "row 0: degree: 3; expected a power of two"),
    "wide": (
        "degree,lengths,ms\n1,512,160\n1,4096,1100\n128,512,2\n128,4096,9\n128,9999,20\n",
        "mode 1: degree 128 on a cluster of 64 ranks; expected at most 64",
    ),
    "little": ("degree,lengths,ms\n8,512,60\n", "1 rows tell 1 of 3 coefficients apart"),
    "empty": ("degree,lengths,ms\n", "no rows; expected a header degree,lengths,ms and"),
}


@pytest.mark.parametrize("name", TIMINGS)
def test_bad_timings(run, corpus, tmp_path, name):
    text, message = TIMINGS[name]
    (tmp_path / "t.csv").write_text(text)
    options = ("--ranks", 64, "--timings", tmp_path / "t.csv", "--tokens-per-rank", "8K")
    done = run("import", "lengths", corpus, *options, "-o", tmp_path / "inst.json")
    assert (done.exit_code, done.stdout) == (5, "")
    assert message in " ".join(done.stderr.split())
    assert len(done.stderr.splitlines()) == 1


def test_what_other_families_have_is_refused(run, corpus, instance, tmp_path):
    done = run("solve", instance, "--scratchpad", "1MiB", "-q")
    assert done.exit_code == 2
    assert "a sequence problem has none" in " ".join(done.stderr.split())
    done = run("solve", instance, "--budget", "size=4")
    assert done.exit_code == 2
    options = ("--ranks", 64, "--budget", "size=4", "-o", tmp_path / "x.json")
    assert run("import", "lengths", corpus, *options).exit_code == 2


@needs_data
def test_recorded_lengths(run, tmp_path):
    target = tmp_path / "inst.json"
    options = ("--batch", 512, "--index", 3, "--ranks", 64, "--ranks-per-node", 8)
    model = ("--model", "gpt-7b", "--max-length", "384K")
    done = run("import", "lengths", LENGTHS, *options, *model, "-o", target)
    assert done.exit_code == 0, done.stderr
    methods = ("--method", "area", "--method", "homogeneous")
    found = json.loads(run("solve", target, "--json", "-q", *methods).stdout)
    assert found["sequences"] == 512
    # best homogeneous degree of this batch by an implementation of its own
    assert found["step_ms"] <= 4419
    assert 2913 <= found["bound_step_ms"] <= 3082
