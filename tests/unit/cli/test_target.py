import os

import pytest

from mapc.cli.target import check_target
from mapc.errors import UsageError


def test_accepts_what_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.json").write_text("old")
    for path in (None, "new.json", "old.json", str(tmp_path / "NEW.JSON")):
        check_target(path, (".json",), source="model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


def test_refuses(tmp_path):
    (tmp_path / "folder.json").mkdir()
    source = tmp_path / "source.json"
    source.write_text("x")
    (tmp_path / "link.json").symlink_to(source)
    cases = {
        "plan.txt": "expected .json or .csv",
        "plan": "expected .json or .csv",
        "folder.json": "is a folder",
        "absent/plan.json": "no folder",
        "source.json/plan.json": "no folder",
        "source.json": "is the file read from",
        "link.json": "is the file read from",
    }
    for name, message in cases.items():
        with pytest.raises(UsageError, match=message):
            check_target(str(tmp_path / name), (".json", ".csv"), source=str(source))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_refuses_what_is_forbidden(tmp_path):
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    (sealed / "old.json").write_text("old")
    (sealed / "old.json").chmod(0o400)
    with pytest.raises(UsageError, match="permission"):
        check_target(str(sealed / "old.json"), (".json",))
    sealed.chmod(0o500)
    with pytest.raises(UsageError, match="permission"):
        check_target(str(sealed / "new.json"), (".json",))
    sealed.chmod(0o700)
