import json


def test_figures_of_a_net(run, net):
    done = run("show", net, "--scratchpad", "M_R", "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    expected = {
        "kind": "memory",
        "operators": 4,
        "tensors": 5,
        "m_r_bytes": 12,
        "m_p_lower_bytes": 16,
        "m_p_upper_bytes": 16,
        "given_order_peak_bytes": 16,
        "bound_bytes": 8,
        "capacity_bytes": 12,
        "compulsory_bytes": 8,
    }
    assert {key: facts[key] for key in expected} == expected
    assert len(facts["sha256"]) == 64


def test_table(run, net):
    lines = run("show", net).stdout.splitlines()
    rows = {line[:20].strip(): line[20:] for line in lines}
    assert rows["M_R"] == "12 B"
    assert rows["M_P"] == "16 B (proven)"
    assert rows["given order's peak"] == "16 B"
    assert "capacity" not in rows


def test_figures_of_buffers(run, buffers):
    facts = json.loads(run("show", buffers, "--json").stdout)
    assert (facts["kind"], facts["buffers"], facts["max_load_bytes"]) == ("allocation", 3, 12)


def test_bad_input(run, tmp_path):
    assert run("show", tmp_path).exit_code == 5
