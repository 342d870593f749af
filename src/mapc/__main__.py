"""``python -m mapc``."""

from mapc.cli.app import main

if __name__ == "__main__":
    main()
