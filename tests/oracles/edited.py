"""Plan files as a user may have changed them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edited(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Change the document in a file, and return the file."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    return path
