"""The records of finished prompts: the newest in memory, older ones in a private database on disk.

Otherwise the server's memory would grow with every prompt of a client that never clears the history: by a kilobyte for
a tiny prompt, by megabytes for one whose error quotes its inputs. The database has no name, so the system removes it
when the process ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

log = logging.getLogger("comfyui_emulator")

HISTORY_LIMIT = 10_001
"""Maximum number of records; the oldest are dropped first (measured on ComfyUI 0.3.64; the same in 0.33)."""

RECENT_RECORDS, RECENT_BYTES = 256, 2 * 1024 * 1024
"""The number and size of records that stay in memory; once there is twice as much, older ones move to the disk."""

_CACHE_KIBIBYTES = 512


def connect() -> sqlite3.Connection:
    """Open a private temporary database. Raises ``sqlite3.Error``, or ``ImportError`` if Python has no SQLite."""
    import sqlite3

    # An empty name makes a temporary file, with only its cache in memory. A crash may lose it, so it is not synced.
    return sqlite3.connect("", isolation_level=None, check_same_thread=False)


class HistoryEntry(NamedTuple):
    """A record and its job, the summary that ``/api/jobs`` shows, both as JSON text."""

    record: str
    job: str

    @property
    def size(self) -> int:
        """The number of characters."""
        return len(self.record) + len(self.job)


class Spool:
    """Older records in a database: by id, and in the order in which they were added.

    Every method may raise ``sqlite3.Error``; then nothing has changed.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.count = 0
        run = database.execute
        run("PRAGMA journal_mode = MEMORY")
        run("PRAGMA synchronous = OFF")
        run(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        run("CREATE TABLE records (place INTEGER PRIMARY KEY, id BLOB UNIQUE, body TEXT, job TEXT)")

    def add(self, records: list[tuple[str, HistoryEntry]]) -> None:
        """Add records, all or none."""
        run = self._database.execute
        run("BEGIN")
        try:
            insert = "INSERT INTO records (id, body, job) VALUES (?, ?, ?)"
            self._database.executemany(insert, ((_key(name), *entry) for name, entry in records))
            run("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                run("ROLLBACK")
            raise
        self.count += len(records)

    def get(self, name: str) -> str | None:
        """The record with that id, or ``None``."""
        found = self._database.execute("SELECT body FROM records WHERE id = ?", (_key(name),)).fetchone()
        return None if found is None else str(found[0])

    def replace(self, name: str, entry: HistoryEntry) -> bool:
        """Replace the record with that id, keeping its position; ``False`` if there is none."""
        done = self._database.execute("UPDATE records SET body = ?, job = ? WHERE id = ?", (*entry, _key(name)))
        return done.rowcount > 0

    def pages(self, start: int, end: int) -> Iterator[tuple[str, HistoryEntry]]:
        """Ids and records of a range of positions."""
        query = "SELECT id, body, job FROM records ORDER BY place LIMIT ? OFFSET ?"
        for name, body, job in self._database.execute(query, (max(0, end - start), start)):
            yield name.decode("utf-8", "surrogatepass"), HistoryEntry(body, job)

    def jobs(self) -> Iterator[str]:
        """The jobs of all records, oldest first."""
        for (job,) in self._database.execute("SELECT job FROM records ORDER BY place"):
            yield job

    def drop_oldest(self) -> bool:
        """Delete the oldest record; ``False`` if there is none."""
        done = self._database.execute("DELETE FROM records WHERE place = (SELECT min(place) FROM records)")
        self.count -= done.rowcount
        return done.rowcount > 0

    def delete(self, name: str) -> None:
        """Delete a record if it exists."""
        self.count -= self._database.execute("DELETE FROM records WHERE id = ?", (_key(name),)).rowcount

    def close(self) -> None:
        """Close the database, which removes its file. Idempotent."""
        self._database.close()


def _key(name: str) -> bytes:
    # Clients choose ids, and JSON can carry lone surrogates, which plain UTF-8 cannot encode.
    return name.encode("utf-8", "surrogatepass")


class History:
    """Records as JSON text by prompt id, in order of arrival, at most ``HISTORY_LIMIT``.

    No method raises because of the disk. If it cannot be written (it is full, say, or no temporary folder exists), all
    records stay in memory; if it cannot be read, the records on it are lost. Both are logged.
    """

    def __init__(self, database: Callable[[], sqlite3.Connection] = connect) -> None:
        self._open_database = database
        self._recent: dict[str, HistoryEntry] = {}
        self._bytes = 0
        self._spool: Spool | None = None
        self._limits = 2 * RECENT_RECORDS, 2 * RECENT_BYTES
        self._warned = False

    def __len__(self) -> int:
        """The number of records."""
        return len(self._recent) + self._spooled

    @property
    def in_memory(self) -> int:
        """The number of records in memory."""
        return len(self._recent)

    @property
    def _spooled(self) -> int:
        return 0 if self._spool is None else self._spool.count

    def put(self, name: str, record: str, job: str = "") -> None:
        """Add a record; one with an existing id replaces the old one at its position, as in ComfyUI."""
        if len(self) >= HISTORY_LIMIT:
            self._drop_oldest()
        entry = HistoryEntry(record, job)
        if name in self._recent or not self._ask(lambda spool: spool.replace(name, entry)):
            self._bytes += entry.size - self._size_of(name)
            self._recent[name] = entry
        if len(self._recent) >= self._limits[0] or self._bytes >= self._limits[1]:
            self._spill()

    def get(self, name: str) -> str | None:
        """The record with that id, or ``None``."""
        if name in self._recent:
            return self._recent[name].record
        return self._ask(lambda spool: spool.get(name))

    def page(self, start: int, end: int) -> list[tuple[str, str]]:
        """Ids and records from position ``start`` up to ``end``, oldest first."""
        found: list[tuple[str, HistoryEntry]] = []
        if start < self._spooled:
            found = self._ask(lambda spool: list(spool.pages(start, min(end, spool.count)))) or []
        older = self._spooled
        names = list(self._recent)[max(0, start - older) : max(0, end - older)]
        found += [(name, self._recent[name]) for name in names]
        return [(name, entry.record) for name, entry in found]

    def jobs(self) -> list[str]:
        """The jobs of all records, oldest first."""
        older = self._ask(lambda spool: list(spool.jobs())) or []
        return older + [entry.job for entry in self._recent.values()]

    def delete(self, name: str) -> None:
        """Delete a record if it exists."""
        if name not in self._recent:
            self._ask(lambda spool: spool.delete(name))
        self._bytes -= self._size_of(name)
        self._recent.pop(name, None)

    def _size_of(self, name: str) -> int:
        return self._recent[name].size if name in self._recent else 0

    def clear(self) -> None:
        """Delete all records, and free their space on disk."""
        self._recent.clear()
        self._bytes = 0
        self._limits = 2 * RECENT_RECORDS, 2 * RECENT_BYTES
        self.close()

    def close(self) -> None:
        """Close the database and drop its records. Idempotent."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()

    def _drop_oldest(self) -> None:
        if not self._ask(lambda spool: spool.drop_oldest()):
            self.delete(next(iter(self._recent)))

    def _ask(self, work: Callable[[Spool], T]) -> T | None:
        """The result of ``work``; ``None`` without a database, or if it fails: then its records move back to memory."""
        if self._spool is None:
            return None
        import sqlite3

        try:
            return work(self._spool)
        except (sqlite3.Error, UnicodeError) as error:
            self._rescue(self._spool, error)
            return None

    def _rescue(self, spool: Spool, error: Exception) -> None:
        """Continue in memory with the records that can still be read."""
        import sqlite3

        expected = spool.count
        found: dict[str, HistoryEntry] = {}
        try:
            # ``update`` keeps the records that it read before an error.
            found.update(spool.pages(0, expected))
        except (sqlite3.Error, UnicodeError):
            log.exception("%d records of the history are lost", expected - len(found))
        log.warning("the history is in memory again, because its temporary database failed: %s", error)
        self._recent = found | self._recent
        self._bytes = sum(entry.size for entry in self._recent.values())
        self._later()
        self.close()

    def _later(self) -> None:
        self._limits = len(self._recent) + RECENT_RECORDS, self._bytes + RECENT_BYTES

    def _spill(self) -> None:
        """Move the older records to the disk; if that fails, try again once there are more."""
        moved: list[tuple[str, HistoryEntry]] = []
        left = self._bytes
        for name, entry in self._recent.items():
            if len(self._recent) - len(moved) <= RECENT_RECORDS and left <= RECENT_BYTES:
                break
            moved.append((name, entry))
            left -= entry.size
        error = self._write(moved)
        if error is None:
            for name, _ in moved:
                del self._recent[name]
            self._bytes = left
        elif not self._warned:
            log.warning("the history stays in memory, because no temporary database accepts it: %s", error)
        self._warned = error is not None
        self._later()

    def _write(self, records: list[tuple[str, HistoryEntry]]) -> Exception | None:
        """Write records to the database, created on first use; return the error if that fails."""
        try:
            import sqlite3
        except ImportError as error:
            return error
        try:
            if self._spool is None:
                database = self._open_database()
                try:
                    self._spool = Spool(database)
                except BaseException:
                    database.close()
                    raise
            self._spool.add(records)
        except sqlite3.Error as error:
            return error
        return None
