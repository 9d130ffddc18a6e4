"""Run the command `chexnet` as `python -m chexnet`."""

import sys

from chexnet.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
