"""Actions for a forked child, which inherits descriptors, locks and objects that stay its parent's."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_forked_child(action: Callable[[], None]) -> None:
    """Have ``action`` called in every forked child of this process; nothing to do where a system cannot fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)
