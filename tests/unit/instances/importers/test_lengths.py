import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.instances.importers.lengths import import_lengths, parse_tokens, read_lengths

VALUES = [5, 7000, 128, 200_000, 129, 40_000]


@pytest.fixture
def npy(tmp_path):
    path = tmp_path / "corpus.npy"
    np.save(path, np.array(VALUES, dtype=np.int32))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4096", 4096), (192000, 192_000), ("192K", 192_000), ("128Ki", 131_072), ("1.5k", 1500),
     ("0.5Ki", 512), ("1M", 10**6), (" 2 mi ", 2**21)],
)  # fmt: skip
def test_tokens_as_people_write_them(text, expected):
    assert parse_tokens(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "0", "1.5", "192KB", "1e3", "9999999999999", "0.3Ki"])
def test_what_are_no_tokens(text):
    with pytest.raises(UsageError, match="tokens"):
        parse_tokens(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "5\n7000\n128\n200000\n129\n40000\n"),
        ("a.txt", "# corpus\n5, 7000 128\n200000 129 40000"),
        ("a.csv", "doc,Length\n1,5\n2,7000\n3,128\n\n4,200000\n5,129\n6,40000\n"),
        ("a.csv", "# corpus\n\nlength\n5\n7000\n128\n# half\n200000\n129\n40000\n"),
        ("a.csv", '"doc","length"\r\n"a,12,b",5\r\n"x",7000\r\ny,"128"\r\n'
         '"two\nlines",200000\r\nz,129\r\nz,40000\r\n'),
        ("a.txt", "5e0 7e3\n128. 2.0e5 129\n+40000"),
    ],
)  # fmt: skip
def test_text_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_lengths(tmp_path / name).tolist() == VALUES


def test_arrays(tmp_path, npy):
    assert read_lengths(npy).tolist() == VALUES
    np.savez(tmp_path / "two.npz", lengths=np.array(VALUES), other=np.zeros(3))
    assert read_lengths(tmp_path / "two.npz").tolist() == VALUES
    np.savez(tmp_path / "one.npz", x=np.array(VALUES))
    assert read_lengths(tmp_path / "one.npz").tolist() == VALUES


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([3, 0, 5]), "lengths[1]: 0; expected a whole number 1 to"),
        (np.array([3.0, 4.5]), "lengths[1]: 4.5; expected"),
        (np.ones((2, 2), int), "shape (2, 2); expected a row of lengths"),
        (np.zeros(0, int), "no lengths"),
    ],
)
def test_arrays_that_are_no_lengths(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InstanceError) as refused:
        read_lengths(tmp_path / "a.npy")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("doc,size\n1,5\n", "columns 'doc,size'; expected a column 'length'"),
        ("5\nmany\n", "lengths[1]: 'many'; expected a whole number"),
        ("length\n5\n-3\n", "lengths[1]: -3.0; expected"),
        ("#\n", "no lengths"),
        ("5 six 7\n", "lengths[1]: 'six'; expected a whole number"),
        ("5 nan\n", "lengths[1]: nan; expected a whole number"),
        ("1_000 5\n", "lengths[0]: '1_000'; expected a whole number"),
        ("5 \u0666\n", "lengths[1]: '\u0666'; expected a whole number"),
        ("length,lengths\n5,6\n", "columns 'length,lengths'; expected one column 'length'"),
        ("# two\na,length\n1,5\n\n2\n", "a.csv: line 5: 1 fields; expected 2 as in the header"),
        ("a,length\n1,2,3\n", "a.csv: line 2: 3 fields; expected 2 as in the header"),
        ('length\n"5\n', "malformed CSV"),
    ],
)
def test_text_that_is_no_lengths(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InstanceError) as refused:
        read_lengths(tmp_path / "a.csv")
    assert message in str(refused.value)


def test_several_arrays_without_a_name(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2, int), y=np.ones(2, int))
    with pytest.raises(InstanceError, match="2 arrays"):
        read_lengths(tmp_path / "a.npz")


def test_a_batch_under_published_costs(npy):
    problem = import_lengths(npy, ranks=64, batch=3, index=1, least=2)
    # 200,000 tokens are dropped before batches are cut
    assert problem.lengths.tolist() == [129, 40_000]
    assert problem.padded.tolist() == [256, 40_064]
    assert (problem.n_ranks, problem.node_ranks, problem.least, problem.most) == (64, 8, 2, None)
    assert problem.cost.tokens[0] == 6449
    assert problem.name == "corpus-1"
    assert problem.provenance["model"] == "gpt-7b"
    assert problem.provenance["max_length"] == 192_000


def test_long_sequences_are_clipped_or_kept_on_demand(npy):
    clipped = import_lengths(npy, ranks=64, too_long="clip")
    assert clipped.lengths.tolist() == [5, 7000, 128, 192_000, 129, 40_000]
    assert import_lengths(npy, ranks=64, too_long="keep").lengths.tolist() == VALUES


def test_a_length_at_the_limit_stays(npy):
    assert 200_000 in import_lengths(npy, ranks=64, max_length="200K").lengths


def test_few_ranks_are_one_node(npy):
    assert import_lengths(npy, ranks=4, max_length="8K", memory_limit_gb=80).node_ranks == 4


def test_both_kinds_of_sharing(npy):
    problem = import_lengths(npy, ranks=16, sharing="both", heads=8)
    modes = list(zip(problem.cost.degree.tolist(), problem.cost.kind, strict=True))
    assert modes[-3:] == [(8, "ulysses"), (8, "ring"), (16, "ring")]


def test_megatron(npy):
    problem = import_lengths(npy, ranks=64, model="megatron", tokens_per_rank="8Ki")
    assert problem.cost.tokens[-1] == 8192 * 64
    assert problem.cost.quadratic[-1] == 1 / 64


def test_costs_fitted_to_timings(tmp_path, npy):
    table = tmp_path / "t.csv"
    rows = "".join(f"{d},{s},{2e-6 * s * s / d + 0.1 * s / d + 50}\n"
                   for d in (8, 64) for s in (512, 4096, 16384))  # fmt: skip
    table.write_text("degree,lengths,ms\n" + rows)
    problem = import_lengths(npy, ranks=64, timings=table, tokens_per_rank=6000)
    assert problem.cost.degree.tolist() == [8, 64]
    assert problem.cost.quadratic == pytest.approx([2e-6 / 8, 2e-6 / 64], rel=1e-6)
    assert problem.cost.fixed == pytest.approx([50, 50], rel=1e-6)
    assert problem.provenance["timings"] == "t.csv"
    assert problem.provenance["rms_ms"] < 1e-6
    assert problem.provenance["relative"] < 1e-9


def test_a_table_of_timings_that_says_too_little_is_named(tmp_path, npy):
    table = tmp_path / "t.csv"
    table.write_text("degree,lengths,ms\n8,512,60\n")
    with pytest.raises(InstanceError, match=r"t.csv: timings: 1 rows tell 1 of 3"):
        import_lengths(npy, ranks=64, timings=table, tokens_per_rank=6000)


def test_a_batch_past_the_end(npy):
    with pytest.raises(InstanceError, match=r"batch 2: 5 sequences; expected 0 to 1"):
        import_lengths(npy, ranks=64, batch=3, index=2)
    with pytest.raises(InstanceError, match="batch 0: 0 sequences; expected sequences within"):
        import_lengths(npy, ranks=64, max_length=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch 0: expected a whole number >= 1"),
        ({"index": -1}, "index -1: expected"),
        ({"too_long": "cut"}, "too long 'cut': expected drop, clip or keep"),
        ({"sharing": "tree"}, "sharing 'tree': expected"),
        ({"model": "megatron"}, "tokens per rank: missing"),
        ({"model": "megatron", "tokens_per_rank": 5, "heads": 8}, "heads: applies to FlexSP's"),
        ({"model": "megatron", "tokens_per_rank": 5, "sharing": "both"}, "sharing: applies to"),
        (
            {"model": "megatron", "tokens_per_rank": 5, "memory_limit_gb": 80.0},
            "memory limit: applies to FlexSP's models only",
        ),
        ({"tokens_per_rank": 5}, "tokens per rank: follow from the memory"),
        ({"timings": "t.csv", "tokens_per_rank": 5, "degrees": [1]}, "degrees: with timings"),
    ],
)
def test_options_without_meaning(npy, options, message):
    with pytest.raises(UsageError) as refused:
        import_lengths(npy, ranks=64, **options)
    assert str(refused.value).startswith(message)
