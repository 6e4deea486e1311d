"""``python -m discomfort``: the same as the ``discomfort`` command."""

from __future__ import annotations

import sys

from discomfort.cli import main

if __name__ == "__main__":
    sys.exit(main())
