"""``mapc completion``: what makes a shell complete the words of a command line."""

from __future__ import annotations

import click

from mapc.cli.output import say

SHELLS = ("bash", "zsh", "fish")

_INSTALL = """\b
To install it, add a line or write a file:
  ~/.bashrc                  eval "$(mapc completion bash)"
  ~/.zshrc, after compinit   eval "$(mapc completion zsh)"
  fish                       mapc completion fish > \\
                               ~/.config/fish/completions/mapc.fish
"""


@click.command(epilog=_INSTALL)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes mapc in SHELL."""
    from mapc.cli.completing import script

    say(script(shell), nl=False)
