import json
import os
import signal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mapc.errors import UsageError


class Words(HTMLParser):
    """The text of a page, without its script and its style, and the tags it has."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self._silent = [], [], 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(path):
    return Words(Path(path).read_text(encoding="utf-8"))


@pytest.fixture
def plan(run, net, tmp_path):
    path = tmp_path / "plan.json"
    done = run("solve", net, "--scratchpad", "12", "--seed", "5", "-q", "-o", path)
    assert done.exit_code == 0
    return path


def test_a_report_says_what_was_asked_found_and_proven(run, plan, tmp_path):
    output = tmp_path / "report.html"
    done = run("report", plan, "-o", output)
    assert done.exit_code == 0
    assert f"{output}" in done.stdout.replace("\n", "")
    page = read(output)
    for words in ("optimal : 8 B extra off-chip traffic", "name net", "seed 5", "mapc solve"):
        assert words in page.text
    assert "eviction" in page.text  # who found it
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_nothing_is_loaded_from_elsewhere(run, plan, tmp_path):
    output = tmp_path / "report.html"
    run("report", plan, "-o", output)
    page = read(output)
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "xlink:href"} & attributes.keys(), tag
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'")


def test_the_same_plan_gives_the_same_bytes(run, plan, tmp_path):
    for name in ("one.html", "two.html"):
        run("report", plan, "-o", tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_json_and_standard_output(run, plan, tmp_path):
    output = tmp_path / "report.html"
    facts = json.loads(run("report", plan, "-o", output, "--json").stdout)
    assert facts["bytes"] == output.stat().st_size
    (one,) = facts["plans"]
    assert (one["kind"], one["objective"], one["bound"], one["valid"]) == ("memory", 8, 8, True)
    assert run("report", plan, "-o", "-").stdout == output.read_text(encoding="utf-8")
    assert run("report", plan, "-o", "-", "--json").exit_code == 2


def test_two_plans_stand_side_by_side(run, net, plan, tmp_path):
    other, output = tmp_path / "other.json", tmp_path / "report.html"
    run("solve", net, "--scratchpad", "16", "-q", "-o", other)
    assert run("report", plan, other, "-o", output).exit_code == 0
    text = read(output).text
    assert "plan.json" in text
    assert "other.json" in text


def test_plans_of_two_families_have_no_page_in_common(run, plan, layers, tmp_path):
    other, output = tmp_path / "bits.json", tmp_path / "report.html"
    run("solve", layers, "-q", "-o", other)
    done = run("report", plan, other, "-o", output)
    assert done.exit_code == 2
    assert "plans of bits and memory" in done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.json", "-o", "report.html"], 5),
        (["{plan}", "-o", "report.pdf"], 2),
        (["{plan}", "-o", "nowhere/report.html"], 2),
        (["{net}", "-o", "report.html"], 5),
        (["{plan}", "-o", "report.html", "--front", "{net}"], 5),
        (["{plan}", "-o", "report.html", "--comparison", "{net}"], 5),
        (["{plan}"], 2),
        (["-o", "report.html"], 2),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    run, net, plan, tmp_path, monkeypatch, arguments, code
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = run("report", *(a.format(plan=plan, net=net) for a in arguments))
    assert done.exit_code == code
    if code == 5:
        assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["--front", "--comparison"])
def test_what_is_drawn_beside_a_plan_is_not_written_over(run, plan, tmp_path, option):
    beside = tmp_path / "beside.html"  # a name is no reason to be lost
    beside.write_text("{}")
    done = run("report", plan, option, beside, "-o", beside)
    assert done.exit_code == 2
    assert "is the file read from" in done.stderr
    assert beside.read_text() == "{}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line(start, plan):
    with open("/dev/full", "w") as full:
        process = start("report", plan, "-o", "-", stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert stderr == "mapc: error: standard output: cannot be written: No space left on device\n"


def test_a_broken_plan_is_drawn_and_called_broken(run, plan, tmp_path):
    document = json.loads(plan.read_text())
    document["plan"]["order"] = document["plan"]["order"][::-1]
    plan.write_text(json.dumps(document))
    output = tmp_path / "report.html"
    done = run("report", plan, "-o", output)
    assert done.exit_code == 0
    assert "breaks" in done.stderr
    assert "before" in read(output).text  # the first rule it breaks


# -- runs without a plan --------------------------------------------------------------------------


def test_an_infeasible_run_leaves_a_report(run, net, tmp_path):
    output, plan = tmp_path / "report.html", tmp_path / "plan.json"
    done = run("solve", net, "--scratchpad", "11", "-q", "-o", plan, "--report", output)
    assert done.exit_code == 3
    text = read(output).text
    assert "infeasible" in text
    assert "--scratchpad 11" in text  # the command as given
    assert "plan file" not in text
    assert not plan.exists()


@pytest.mark.parametrize("written", ["plan.json", None])
def test_how_to_do_it_again_names_files_that_are_there(run, net, tmp_path, written):
    output = tmp_path / "run.html"
    target = [] if written is None else ["-o", tmp_path / written]
    command = ["solve", net, "--scratchpad", "12", "-q", *target, "--report", output]
    assert run(*command).exit_code == 0
    again = read(output).text.partition("How to do it again")[2]
    assert f"mapc solve {tmp_path / 'plan.json'} --time-limit 60" in again or written is None
    assert ("The plan file carries its problem" in again) is (written is not None)
    assert "The command as it was given: mapc solve" in again


def test_the_blocks_of_what_was_asked_are_those_of_the_terminal(run, net, tmp_path):
    output = tmp_path / "run.html"
    done = run("solve", net, "--scratchpad", "12", "-q", "--report", output)
    asked = read(output).text.partition("What was asked")[2].partition("How the run went")[0]
    problem, _, rest = asked.partition("The run")
    options, _, plan = rest.partition("The plan")
    assert "capacity 12 B" in problem
    assert "time limit 60 s gap to stop at 0 % seed 0" in options
    printed = [line.split(None, 2) for line in done.stdout.splitlines()]
    assert ["spill", "writes", "4 B"] in printed
    assert "spill writes 4 B reloads 4 B" in plan


def test_a_run_that_finds_nothing_leaves_a_report(run, net, tmp_path, monkeypatch):
    from mapc.solvers.base import Status
    from mapc.solvers.result import Result

    nothing = Result("memory", Status.UNKNOWN, bound=4, reason="the limit was reached before")
    monkeypatch.setattr("mapc.api.solve", lambda *a, **k: nothing)
    output = tmp_path / "report.html"
    done = run("solve", net, "--scratchpad", "12", "-q", "--report", output)
    assert done.exit_code == 4
    text = read(output).text
    assert "the limit was reached before" in text
    assert "bound 4 B" in text  # what is proven all the same


def test_a_method_that_fails_leaves_a_report(run, net, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise ZeroDivisionError("of <b>all</b> things")

    monkeypatch.setattr("mapc.api.solve", fail)
    output = tmp_path / "report.html"
    done = run("solve", net, "--scratchpad", "12", "-q", "--report", output)
    assert done.exit_code == 1
    page = read(output)
    assert "failed: ZeroDivisionError: of <b>all</b> things" in page.text
    assert [tag for tag, _ in page.tags].count("b") == 1  # the verdict


def test_a_report_on_standard_output_stands_alone(run, net, tmp_path):
    plan = tmp_path / "plan.json"
    done = run("solve", net, "--scratchpad", "12", "-q", "-o", plan, "--report", "-")
    assert done.exit_code == 0
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.endswith("</html>\n")
    assert plan.exists()


def test_the_result_names_the_report_that_was_written(run, net, tmp_path):
    output = tmp_path / "report.html"
    options = ("--scratchpad", "12", "-q", "--report")
    assert json.loads(run("solve", net, "--json", *options, output).stdout)["report"] == str(output)
    assert run("solve", net, *options, output).stdout.rstrip().endswith(str(output))
    assert json.loads(run("solve", net, "--json", *options[:3]).stdout)["report"] is None


def test_the_result_does_not_name_a_report_that_was_not_written(run, net, tmp_path, monkeypatch):
    def full(self, path):
        raise UsageError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr("mapc.visual.report.Report.write", full)
    output = tmp_path / "report.html"
    options = ("--scratchpad", "12", "-q", "--report", output)
    done = run("solve", net, "--json", *options)
    assert done.exit_code == 2
    assert "No space left" in done.stderr
    assert json.loads(done.stdout)["report"] is None
    assert str(output) not in run("solve", net, *options).stdout


def test_a_call_that_cannot_be_understood_is_no_run(run, net, tmp_path):
    output = tmp_path / "report.html"
    output.write_text("of an earlier run")
    options = ("--scratchpad", "12", "-q", "--report", output)
    done = run("solve", net, *options, "--method", "none-such")
    assert done.exit_code == 2
    assert output.read_text() == "of an earlier run"


def test_a_plan_without_the_proof_asked_for_is_in_the_report_alone(run, net, tmp_path):
    output, plan = tmp_path / "report.html", tmp_path / "plan.json"
    options = ("--scratchpad", "12", "-q", "-o", plan, "--report", output, "--require-optimal")
    done = run("solve", net, *options, "--method", "eviction")
    assert done.exit_code == 7
    assert "no plan written" in done.stderr
    assert "8 B extra off-chip traffic" in read(output).text
    assert not plan.exists()


def test_a_report_of_the_smallest_capacity(run, net, tmp_path):
    output, plan = tmp_path / "report.html", tmp_path / "plan.json"
    done = run("solve", net, "--minimize", "peak", "-q", "-o", plan, "--report", output)
    assert done.exit_code == 0
    assert "a peak of 16 B" in read(output).text
    again = tmp_path / "again.html"
    assert run("report", plan, "-o", again).exit_code == 0
    assert "a peak of 16 B" in read(again).text


def test_no_report_of_a_front(run, net, tmp_path):
    done = run("solve", net, "--front", "--report", tmp_path / "report.html")
    assert done.exit_code == 2
    assert "--report" in done.stderr


def test_an_interrupted_run_leaves_a_report(start, wide, tmp_path):
    """Ctrl-C after the first plan: the plan found so far, and that it was cut short."""
    output = tmp_path / "report.html"
    process = start("solve", wide, "--scratchpad", "M_R", "--time-limit", 300, "--report", output)
    for line in process.stderr:
        if " incumbent: " in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "interrupted" in read(output).text
