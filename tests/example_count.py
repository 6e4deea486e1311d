"""How many examples property tests try: few where everything is tested, more where somebody asks for them."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """``count``, times ``MORE_EXAMPLES`` of the environment."""
    return count * int(os.environ.get("MORE_EXAMPLES", "1"))
