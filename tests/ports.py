"""The ports that tests start servers on."""

from __future__ import annotations

import os

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def first_port(port: int) -> int:
    """``port``, or as far from it as the tests of another process that run beside these need not meet them."""
    return port + 2000 * _WORKER
