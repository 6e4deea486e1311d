"""The records of a context in one process, kept equal to its ``receipts.json``, which other processes may change."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from discomfort.context.capacity import raise_if_full
from discomfort.context.receipts import Change, Receipts
from discomfort.context.records import Record, RecordTable, memory_folder_name
from discomfort.exceptions import DamagedDataError

_log = logging.getLogger("discomfort.context")


class SharedIndex:
    """The table of records and the file. For one thread at a time.

    Methods that change the table return the files that nothing needs any more. If the file is gone, ``is_gone`` becomes
    true and the table empty; for the owner of the context, that is an error.
    """

    def __init__(self, run_id: str, receipts: Receipts, *, is_owner: bool) -> None:
        self.table = RecordTable()
        self.memory: str | None = None
        self.is_gone = False
        self.is_owner = is_owner
        self._run_id, self._receipts = run_id, receipts

    def refresh(self) -> list[str]:
        """Read what other processes changed. Raises DamagedDataError, StateError."""
        if self.is_gone:
            return []
        try:
            if not self._receipts.changed():
                return []
            with self._receipts.locked():
                return self._catch_up()
        except FileNotFoundError as error:
            self._lost(error)
            return []

    def commit(self, saved: Mapping[str, Record], deleted: Iterable[str] = ()) -> list[str]:
        """Put records in and take ids out, for every process at once.

        Raises DiskFullError, StateError, DamagedDataError, OSError; then nothing has changed.
        """
        change: Change = {"set": {unique_id: record.as_json() for unique_id, record in saved.items()}}
        if deleted:
            change["delete"] = list(deleted)
        try:
            free = self._publish(change)
            if self.is_gone:
                return free
            free += self.table.apply(saved, deleted)
        except BaseException:
            # Interrupted: the file may have the change already.
            self._receipts.read_again()
            raise
        self._shrink()
        return [file for file in free if not self.table.is_needed(file)]

    def set_memory(self, folder: str) -> None:
        """Let other processes know the folder in memory. For the owner. Raises what :meth:`commit` raises."""
        self.memory = folder
        self._publish({"memory": folder})

    def forget(self) -> None:
        """Empty the table, and read nothing any more."""
        self.is_gone = True
        self.table = RecordTable()

    def _publish(self, change: Change) -> list[str]:
        free: list[str] = []
        try:
            with self._receipts.locked() as has_news:
                if has_news:
                    free = self._catch_up()
                self._receipts.append(change)
        except FileNotFoundError as error:
            self._lost(error)
        except OSError as error:
            raise_if_full(error, self._receipts.path.parent, "the index")
            raise
        return free

    def _catch_up(self) -> list[str]:
        starts_again, changes = self._receipts.news()
        free = self.table.apply({}, self.table.keys()) if starts_again else []
        for change in changes:
            records = {unique_id: Record.of_json(facts) for unique_id, facts in change.get("set", {}).items()}
            free += self.table.apply(records, change.get("delete", ()))
            if "memory" in change and not self.is_owner:
                self.memory = memory_folder_name(change["memory"])
        return [file for file in dict.fromkeys(free) if not self.table.is_needed(file)]

    def _shrink(self) -> None:
        if not self.is_owner or not self._receipts.may_shrink():
            return
        change: Change = {"set": {unique_id: each.as_json() for unique_id, each in self.table.snapshot().items()}}
        if self.memory is not None:
            change["memory"] = self.memory
        try:
            with self._receipts.locked() as has_news:
                # With news the records above are old. The next change tries again.
                if not has_news:
                    self._receipts.shrink(self._run_id, change)
        except OSError as error:
            # The long file stays valid.
            _log.debug("the index could not be written again: %s", error)

    def _lost(self, error: FileNotFoundError) -> None:
        if self.is_owner:
            raise DamagedDataError(
                "is gone; another program removed the folder of this context", source=error.filename
            ) from error
        self.forget()
