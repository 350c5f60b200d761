"""Entry point of ``python -m skrobust._cli``."""

import sys

from skrobust._cli._main import main

if __name__ == "__main__":
    sys.exit(main())
