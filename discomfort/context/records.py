"""Records of the values of a context: a record by id, and the files that the records need."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from discomfort.context.blobs import NAME
from discomfort.context.codecs import CODECS
from discomfort.exceptions import DamagedDataError

PassBy = Literal["val", "ref"]
StorageType = Literal["ram", "disk"]

_FOLDER = r"discomfort-[0-9]{1,10}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,80}"
_FILE = re.compile(rf"ram:{_FOLDER}/{NAME.pattern}|disk:{NAME.pattern}")


@dataclass(frozen=True, slots=True)
class Record:
    """One stored value. Its data is ``text`` if it is small, else in ``file``.

    ``file`` is ``ram:`` and a path below the file system in memory, or ``disk:`` and a name in the context's folder.
    ``needs`` are the files of other values that this one refers to: they stay as long as it does.
    """

    storage: StorageType
    codec: str
    size: int
    pass_by: PassBy = "val"
    text: str | None = None
    file: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All files that must exist for this value."""
        return self.needs if self.file is None else (self.file, *self.needs)

    def as_json(self) -> dict[str, Any]:
        """The record as ``receipts.json`` has it."""
        facts: dict[str, Any] = {"storage": self.storage, "codec": self.codec, "size": self.size}
        if self.pass_by != "val":
            facts["pass_by"] = self.pass_by
        if self.text is not None:
            facts["text"] = self.text
        if self.file is not None:
            facts["file"] = self.file
        return {**facts, "needs": list(self.needs)} if self.needs else facts

    @classmethod
    def of_json(cls, facts: Any) -> Record:
        """The record of :meth:`as_json`. Raises DamagedDataError for anything else: the file is data, not trusted."""
        try:
            needs = facts.get("needs", [])
            record = cls(
                facts["storage"], facts["codec"], facts["size"], facts.get("pass_by", "val"), facts.get("text"),
                facts.get("file"), tuple(needs),
            )  # fmt: skip
            is_sound = (
                record.storage in ("ram", "disk")
                and record.codec in CODECS
                and type(record.size) is int
                and record.pass_by in ("val", "ref")
                and (record.text is None or type(record.text) is str)
                and (record.text is None) != (record.file is None)
                and all(_FILE.fullmatch(file) for file in record.files)
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedDataError(f"a record is not one of ours: {error!r}") from error
        if not is_sound:
            raise DamagedDataError(f"a record is not one of ours: {str(facts)[:200]}")
        return record


class RecordTable:
    """The records by id, in the order of their first saving. For one thread at a time.

    Files that records no longer need are kept while they are pinned, and returned as free once they are not.
    """

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._uses: Counter[str] = Counter()
        self._pins: Counter[str] = Counter()
        self.ram_bytes = 0
        self.disk_bytes = 0

    def get(self, unique_id: str) -> Record | None:
        """The record of an id."""
        return self._records.get(unique_id)

    def keys(self) -> list[str]:
        """All ids."""
        return list(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def snapshot(self) -> dict[str, Record]:
        """All records by id, as they are now."""
        return dict(self._records)

    def apply(self, saved: Mapping[str, Record], deleted: Iterable[str] = ()) -> list[str]:
        """Put records in, take others out, and return the files that nothing needs any more."""
        candidates: list[str] = []
        for unique_id, record in saved.items():
            candidates += self._forget(self._records.get(unique_id))
            self._records[unique_id] = record
            for file in record.files:
                self._uses[file] += 1
            self._count(record, 1)
        for unique_id in deleted:
            candidates += self._forget(self._records.pop(unique_id, None))
        return self._unneeded(candidates)

    def pin(self, records: Iterable[Record]) -> tuple[str, ...]:
        """Keep the files of these records until :meth:`unpin` gets the result."""
        files = tuple(file for record in records for file in record.files)
        self._pins.update(files)
        return files

    def unpin(self, files: Iterable[str]) -> list[str]:
        """Undo :meth:`pin`, and return the files that nothing needs any more."""
        files = list(files)
        self._pins.subtract(files)
        for file in set(files):
            if self._pins[file] <= 0:
                del self._pins[file]
        return self._unneeded(files)

    def is_needed(self, file: str) -> bool:
        """Whether a record or a pin needs the file."""
        return file in self._uses or file in self._pins

    def _forget(self, record: Record | None) -> tuple[str, ...]:
        if record is None:
            return ()
        files = record.files
        for file in files:
            self._uses[file] -= 1
            if self._uses[file] <= 0:
                del self._uses[file]
        self._count(record, -1)
        return files

    def _unneeded(self, candidates: Collection[str]) -> list[str]:
        return [file for file in dict.fromkeys(candidates) if not self.is_needed(file)] if candidates else []

    def _count(self, record: Record, sign: int) -> None:
        if record.storage == "ram":
            self.ram_bytes += sign * record.size
        else:
            self.disk_bytes += sign * record.size


def memory_folder_name(name: Any) -> str:
    """The folder in memory that a change names, checked. Raises DamagedDataError."""
    if not isinstance(name, str) or not re.fullmatch(_FOLDER, name):
        raise DamagedDataError(f"{str(name)[:100]!r} is not a folder of values")
    return name


def passed_by(record: Record, pass_by: PassBy, needs: tuple[str, ...] = ()) -> Record:
    """The record as one that is passed by value or by reference."""
    if pass_by == record.pass_by and not needs:
        return record
    return replace(record, pass_by=pass_by, needs=needs)
