"""A pool: many servers behind one queue, which knows which server holds which models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discomfort.pool.scheduler import Policy

__all__ = ["Policy"]


def __getattr__(name: str) -> Any:
    # At first use: the parts of this package do not need each other when they are imported.
    if name == "Policy":
        from discomfort.pool.scheduler import Policy

        return Policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
