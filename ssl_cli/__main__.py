"""``python -m ssl_cli``: the same as ``ssl``; torchrun needs a module to start."""

import sys

from ssl_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
