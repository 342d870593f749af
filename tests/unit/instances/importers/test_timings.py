import pytest

from mapc.errors import InstanceError
from mapc.instances.importers.timings import read_timings


def _read(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return read_timings(path)


def test_columns_in_any_order(tmp_path):
    found = _read(
        tmp_path, "# run 3\nms, Degree,lengths,kind\n12.5,4,4096 512;7,ring\n\n3,1,128,\n"
    )
    assert found.degree.tolist() == [4, 1]
    assert found.kind == ("ring", "ulysses")
    assert [found.lengths[i].tolist() for i in range(2)] == [[4096, 512, 7], [128]]
    assert found.time.tolist() == [12.5, 3.0]


def test_single_sequences_may_be_called_tokens(tmp_path):
    assert _read(tmp_path, "degree,tokens,ms\n2,64,1e3\n").lengths[0].tolist() == [64]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("degree,lengths\n1,2\n", "line 1: no column 'ms'; expected degree, lengths, ms"),
        ("degree,tokens,lengths,ms\n1,2,2,1\n", "line 1: column 'lengths' twice"),
        ("degree,lengths,ms,rank\n1,2,2,1\n", "line 1: column 'rank'"),
        ("degree,lengths,ms\n", "no rows"),
        ("degree,lengths,ms\n#\n1,2\n", "line 3: 2 fields; expected 3"),
        ("degree,lengths,ms\n1,,2\n", "line 2: lengths: ''; expected a whole number >= 1"),
        ("degree,lengths,ms\n1,0,2\n", "line 2: lengths: '0'; expected"),
        ("degree,lengths,ms\n1.5,9,2\n", "line 2: degree: '1.5'; expected"),
        ("degree,lengths,ms\n1,9,-2\n", "line 2: ms: '-2'; expected milliseconds above 0"),
        ("degree,lengths,ms\n1,9,fast\n", "line 2: ms: 'fast'"),
    ],
)
def test_refusals_name_the_line(tmp_path, text, message):
    with pytest.raises(InstanceError) as refused:
        _read(tmp_path, text)
    assert message in str(refused.value)
