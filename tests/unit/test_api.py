import numpy as np
import pytest

import mapc


@pytest.fixture
def problem():
    return mapc.generate("bits", groups=6, formats=3, seed=1)


def test_generate_is_seeded(problem):
    again = mapc.generate("bits", groups=6, formats=3, seed=1)
    assert np.array_equal(problem.loss, again.loss)
    with pytest.raises(mapc.UsageError, match="generator 'x': unknown"):
        mapc.generate("x")


def test_budgets_can_be_set_while_reading_and_later(problem, tmp_path):
    path = tmp_path / "instance.json"
    mapc.write(problem, path)
    early = mapc.read(path, budgets=["size=3bpw"])
    late = mapc.with_budgets(mapc.read(path), ["size=3bpw"])
    assert early.budget == late.budget == (3 * int(problem.weights.sum()),)
    assert mapc.read(path, budgets=[]).budget == problem.budget


def test_budgets_need_a_family_that_has_them(tmp_path):
    path = tmp_path / "buffers.csv"
    path.write_text("id,lower,upper,size\np,0,2,4\n")
    with pytest.raises(mapc.UsageError, match="budgets do not apply to allocation problems"):
        mapc.read(path, budgets=["size=3bpw"])


def test_importers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("group,format,loss,size\nx,int4,2,16\nx,int8,1,32\n")
    problem = mapc.read(path, importer="table", budgets=["size=16"])
    assert mapc.solve(problem).objective == 2
    with pytest.raises(mapc.UsageError, match="importer 'x': unknown; expected table"):
        mapc.read(path, importer="x")
    for options in ({"model": "x"}, {"dtype": "int8"}, {"dims": {"batch": 1}}):
        with pytest.raises(mapc.UsageError, match=next(iter(options))):
            mapc.read(path, importer="table", **options)
    with pytest.raises(mapc.UsageError, match="option 'model': unknown without an importer"):
        mapc.read(path, model="x")
    with pytest.raises(mapc.UsageError, match="expected True or False"):
        mapc.read(path, weights="model.gguf")


def test_export(problem):
    plan = mapc.solve(problem).plan
    with pytest.raises(mapc.UsageError, match="runtime 'x': unknown; expected modelopt"):
        mapc.export(problem, plan, "x")
    with pytest.raises(mapc.UsageError, match="'vllm': takes no bits plans; expected modelopt"):
        mapc.export(problem, plan, "vllm")
    with pytest.raises(mapc.UsageError, match="unknown option 'color'"):
        mapc.export(problem, plan, "hawq", color="x")
    with pytest.raises(mapc.UsageError, match=r"does not know format 'w\d"):
        mapc.export(problem, plan, "hawq")


def test_broken_plans_are_not_exported(problem):
    from mapc.models.bits.plan import BitsPlan

    plan = BitsPlan(problem.start[1:] - 1)  # everything in the widest format
    with pytest.raises(mapc.CheckError, match="not exported, the plan breaks a rule: resource"):
        mapc.export(problem, plan, "hawq")
