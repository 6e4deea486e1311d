"""As much of Ray as the documentation names, for where it is not installed."""

from __future__ import annotations

from ray import data

__all__ = ["data", "init"]


def init(address: str) -> None:
    """Join a cluster."""
    raise NotImplementedError
