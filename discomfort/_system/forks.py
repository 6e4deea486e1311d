"""Actions for a forked child, which inherits descriptors, locks and objects that still belong to its parent."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_forked_child(action: Callable[[], None]) -> None:
    """Call ``action`` in every forked child of this process. Does nothing on a system that cannot fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)
