"""A context as one run sees it: what it reads does not change meanwhile, and what it writes counts all at once."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from discomfort.context.codecs import encode
from discomfort.context.recipes import as_given
from discomfort.context.records import PassBy, Record, StorageType, passed_by
from discomfort.context.storage import Storage
from discomfort.context.tensors import TensorKind


class RunView:
    """A snapshot of a storage, and changes that :meth:`commit` makes visible together.

    Leaving its block without a commit discards the changes: a failed run leaves nothing. Of two views that write the
    same id, the later commit counts. Reading gives the snapshot, never what the view itself has written. Thread-safe
    except for calls on one view.
    """

    def __init__(self, storage: Storage, tensor_kind: TensorKind = "auto") -> None:
        self.storage, self.tensor_kind = storage, tensor_kind
        self.records, self._pin = storage.pinned_snapshot()
        self.staged: dict[str, Record] = {}

    def load(self, unique_id: str) -> Any:
        """The value as it was when the view was made. Raises KeyError, DamagedDataError."""
        return as_given(self.storage.held_value(self.records[unique_id], self.tensor_kind))

    def value_of(self, record: Record) -> Any:
        """The value of a record that this view has, such as one that it has written. Raises DamagedDataError."""
        return as_given(self.storage.held_value(record, self.tensor_kind))

    def save(
        self,
        unique_id: str,
        value: object,
        *,
        use_ram: bool = True,
        pass_by: PassBy = "val",
        needs: tuple[str, ...] = (),
        is_digested: bool = False,
    ) -> Record:
        """Write a value, which gets its id with :meth:`commit`. Raises what :meth:`Storage.write` raises.

        ``is_digested`` is as there. ``needs`` are files of this snapshot that the value refers to: they stay as long as
        it does.
        """
        record = passed_by(self.storage.write(encode(value), use_ram=use_ram, is_digested=is_digested), pass_by, needs)
        return self._stage(unique_id, record)

    def adopt(self, unique_id: str, storage: StorageType, name: str, codec: str, size: int, digest: str = "") -> Record:
        """Take over a file that another process wrote, as :meth:`Storage.adopt` does."""
        return self._stage(unique_id, self.storage.adopt(storage, name, codec, size, digest))

    @property
    def has_files(self) -> bool:
        """Whether :meth:`commit` or :meth:`discard` has something to do on a disk."""
        return bool(self.staged) or bool(self._pin)

    def is_inline(self, unique_ids: Iterable[str]) -> bool:
        """Whether the values of these ids, as far as there are any, are in the index, and no file has to be read."""
        found = (self.staged.get(each) or self.records.get(each) for each in unique_ids)
        return all(record is None or record.text is not None for record in found)

    def commit(self) -> dict[str, Record]:
        """Give all values their ids at once, and return their records. Raises StateError, OSError.

        Until the view ends they can be read by :meth:`value_of`, even if another run has replaced them.
        """
        staged, self.staged = self.staged, {}
        if staged:
            self._pin += self.storage.commit(staged, is_pinned=True)
        return staged

    def discard(self) -> None:
        """End the view: drop what was not committed, and let go of the snapshot. Safe to call twice."""
        staged, self.staged = self.staged, {}
        for record in staged.values():
            self.storage.drop(record)
        pin, self._pin = self._pin, ()
        self.storage.unpin(pin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _stage(self, unique_id: str, record: Record) -> Record:
        before = self.staged.get(unique_id)
        self.staged[unique_id] = record
        if before is not None:
            self.storage.drop(before)
        return record
