"""Transient values of a run: what a server reads that is not in the context as it is, such as a converted picture."""

from __future__ import annotations

from typing import Any

from discomfort.context.codecs import encode
from discomfort.context.records import Record
from discomfort.context.storage import Storage
from discomfort.orchestration.binding import LoadedValue


class TransientValues:
    """Written once per call of ``run``, and dropped at its end, unless a reference needs them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._written: dict[tuple[Any, ...], Record] = {}

    def written(self, source: Record | None, plan: LoadedValue, *, use_ram: bool) -> Record:
        """The record of a value that was made of ``source``. Blocking; raises DiskFullError, OSError."""
        # A file never changes, so the same record gives the same value.
        key = (source, plan.is_changed, str(getattr(plan.value, "shape", None)))
        known = None if source is None else self._written.get(key)
        if known is None:
            known = self._storage.write(encode(plan.value), use_ram=use_ram, is_digested=True)
            self._written[key if source is not None else (known,)] = known
        return known

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to drop."""
        return not self._written

    def drop(self) -> None:
        """Remove the files."""
        written, self._written = self._written, {}
        for record in written.values():
            self._storage.drop(record)
