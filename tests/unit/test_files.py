import io
import os
import stat
import sys

import pytest

from mapc.errors import InstanceError, UsageError
from mapc.files import decode_text, read_bytes, write_whole


class Stream:
    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)


def test_what_is_written_is_read(tmp_path):
    write_whole(tmp_path / "a", b"first")
    write_whole(tmp_path / "a", b"second")
    assert read_bytes(tmp_path / "a") == b"second"
    assert os.listdir(tmp_path) == ["a"]


def test_dash_is_standard_input_and_output(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(b"in"))
    monkeypatch.setattr(sys, "stdout", Stream())
    write_whole("-", b"out")
    assert sys.stdout.buffer.getvalue() == b"out"
    assert read_bytes("-") == b"in"


def test_closed_streams_are_one_line(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(UsageError, match="standard output: cannot be written: it is closed"):
        write_whole("-", b"out")
    with pytest.raises(InstanceError, match="standard input: cannot be read: it is closed"):
        read_bytes("-")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(UsageError, match=r"plan\.json: cannot be written: No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "plan.json", b"new")
    assert os.listdir(tmp_path) == []


def test_mode_is_kept_and_new_files_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    write_whole(tmp_path / "new", b"y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_a_link_keeps_pointing_at_its_target(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_device_is_written_to_and_not_replaced():
    write_whole("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", ["nowhere/plan.json", "", "a\0b"])
def test_unwritable_paths_are_usage_errors(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        write_whole(name, b"x")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "long").write_bytes(b"12345")
    for path, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
        (tmp_path / "empty", "empty file"),
        (tmp_path / "long", "too large; expected at most 4 bytes"),
        ("a\0b", "null"),
    ):
        with pytest.raises(InstanceError, match=reason) as caught:
            read_bytes(path, limit=4)
        assert "\n" not in str(caught.value)


def test_a_stream_longer_than_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(b"12345"))
    with pytest.raises(InstanceError, match="standard input: file too large"):
        read_bytes("-", limit=4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        ("{}".encode("utf-16"), "byte-order mark"),
        (b"ab\xff", r"byte 2 \(0xff\) is not UTF-8"),
    ],
)
def test_text_is_plain_utf8(data, reason):
    with pytest.raises(InstanceError, match=reason):
        decode_text(data, "file")
