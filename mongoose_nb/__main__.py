"""``python -m mongoose_nb`` is the command ``mongoose``."""

import sys

from mongoose_nb.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
