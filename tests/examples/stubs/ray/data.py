"""As much of Ray Data as the documentation names."""

from __future__ import annotations

from typing import Any


class Dataset:
    """Rows."""

    def map_batches(self, kind: Any, **options: Any) -> Dataset:
        """Other rows."""
        raise NotImplementedError

    def write_parquet(self, path: str) -> None:
        """Files of them."""
        raise NotImplementedError


def read_json(paths: str) -> Dataset:
    """The rows of a file."""
    raise NotImplementedError
