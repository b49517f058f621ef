"""`python -m blockpool`: the command line."""

import sys

from blockpool.cli import main

if __name__ == "__main__":
    sys.exit(main())
