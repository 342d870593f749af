"""Command lines as a shell takes them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def shell_line(words: Iterable[str]) -> str:
    r"""Return a command as bash and zsh take it, and as UTF-8 can be written.

    Names of files are bytes: those that are no UTF-8 are told in the escapes of ``$'...'``.

    >>> print(shell_line(["mapc", "show", "my net.json", "caf\udce9"]))
    mapc show 'my net.json' $'caf\xe9'
    """
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if is_text(word):
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, _bytes(word)))}'"


def is_text(word: str) -> bool:
    """Whether UTF-8 can tell a word; names of files may hold other bytes."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(word: str) -> bytes:
    try:
        return word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # from no file system
        return word.encode("utf-8", "replace")


def _escaped(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b"'\\"
    return chr(byte) if plain else f"\\x{byte:02x}"
