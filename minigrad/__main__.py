"""``python -m minigrad``: the command line, as `minigrad.cli` describes it."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
