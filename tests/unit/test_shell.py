import os
import shlex
import shutil
import subprocess

import pytest

from mapc.shell import shell_line


def test_text_is_quoted_as_ever():
    words = ["mapc", "show", "my net.json", "it's", "a$b", "日本語"]
    assert shell_line(words) == shlex.join(words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_takes_back_what_is_no_text():
    names = [b"caf\xe9", b"\xff'\\n \"$(x)", "ü\t".encode() + b"\x80"]
    line = shell_line(["printf", "%s|", *map(os.fsdecode, names)])
    assert subprocess.check_output(["bash", "-c", line.encode()]) == b"|".join(names) + b"|"


def test_what_no_file_is_called_can_be_written_all_the_same():
    assert shell_line(["a\ud800"]).encode() == b"$'a?'"
