"""``docs/extending/family.md`` done exactly as written, in a copy of the source."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from following import follow

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending" / "family.md"


def test_the_family_of_the_page_works(tmp_path: Path) -> None:
    """The copy comes before the installed package, as if it were the one that is installed."""
    source = tmp_path / "src" / "mapc"
    shutil.copytree(ROOT / "src" / "mapc", source)  # with what is compiled; times stay
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "src"),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    follow(PAGE, tmp_path, environment, seconds=300)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (source / "models" / "pipeline" / "problem.py").exists()
    assert not (ROOT / "src" / "mapc" / "models" / "pipeline").exists()
