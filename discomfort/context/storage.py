"""The values of one context: in the file system in memory, on disk, or, if small, in the index itself."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from discomfort._system.claimed_folders import ClaimedFolder
from discomfort._system.forks import in_forked_child
from discomfort.context import folders
from discomfort.context.blobs import NAME, read_blob, write_blob
from discomfort.context.capacity import MemoryRoom
from discomfort.context.codecs import EncodedValue, decode
from discomfort.context.receipts import Change, Receipts
from discomfort.context.records import Record, RecordTable, StorageType, memory_folder_name
from discomfort.context.tensors import TensorKind
from discomfort.exceptions import DamagedDataError, DiskFullError, StateError, StorageFullError

_log = logging.getLogger("discomfort.context")

INLINE = 64 << 10
"""Bytes up to which JSON is kept in the index."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRIES = 100
"""How often a value is looked up again that another thread or process replaced while it was opened."""

_living: weakref.WeakValueDictionary[Path, Storage] = weakref.WeakValueDictionary()
"""The storages of this process by their folder, so that a second context with the same id shares them."""
_all: weakref.WeakSet[Storage] = weakref.WeakSet()
_living_lock = threading.Lock()


class Storage:
    """The values of one context, in the process that made it or in another one. All methods are thread-safe.

    Only the process that made it removes files. It does so in :meth:`close`, when nothing refers to the storage any
    more, or when the interpreter exits.
    """

    def __init__(
        self, run_id: str, home: Path, receipts: Receipts, room: MemoryRoom, claim: ClaimedFolder | None
    ) -> None:
        self.run_id, self.home, self.room = run_id, home, room
        self._receipts, self._table = receipts, RecordTable()
        self._lock = threading.RLock()
        self._claims = [] if claim is None else [claim]
        self._memory: Path | None = None
        # Bytes of memory that threads write to now, and those of written files that no id has yet.
        self._being_written = 0
        self._without_id: dict[str, int] = {}
        self._is_owner, self._is_closed = claim is not None, False
        self._has_warned = False
        self._digests: dict[str, str] = {}
        self._release = weakref.finalize(self, _release, self._claims, receipts)
        with _living_lock:
            _living[home] = self
            _all.add(self)

    @classmethod
    def create(cls, root: Path, run_id: str, room: MemoryRoom) -> Storage:
        """Make the storage of a new context, after what dead processes left there was removed.

        Raises FileExistsError if a living context has this id, ConfigurationError, OSError.
        """
        folders.remove_leftovers(root, room.root / folders.user_folder())
        claim = folders.make_home(root, run_id)
        try:
            storage = cls(run_id, claim.path, Receipts.create(claim.path, run_id), room, claim)
        except BaseException:
            claim.remove()
            raise
        storage._memory_folder()
        return storage

    @classmethod
    def open(cls, root: Path, run_id: str, room: MemoryRoom) -> Storage:
        """The storage of a context that exists: the same object in the same process. Raises FileNotFoundError."""
        home = folders.find_home(root, run_id)
        with _living_lock:
            found = _living.get(home)
        if found is not None and not found._is_closed:
            return found
        return cls(run_id, home, Receipts.open(home), room, None)

    @property
    def is_owner(self) -> bool:
        """Whether this process made the context. False in a forked child."""
        return self._is_owner

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, here or by its owner."""
        if not self._is_closed and not self.is_owner and not self.home.exists():
            self._is_closed = True
        return self._is_closed

    @property
    def memory_folder(self) -> Path | None:
        """The folder of the files in memory; ``None`` if there is none."""
        return self._memory

    # --- reading -----------------------------------------------------------------------------------------------------

    def record(self, unique_id: str) -> Record | None:
        """The record of an id, as of now."""
        with self._lock:
            self._refresh()
            return self._table.get(unique_id)

    def records(self) -> dict[str, Record]:
        """All records by id, as of now."""
        with self._lock:
            self._refresh()
            return self._table.snapshot()

    def usage(self) -> tuple[int, int]:
        """Bytes stored in memory and on disk."""
        with self._lock:
            self._refresh()
            return self._table.ram_bytes, self._table.disk_bytes

    def load(self, unique_id: str, tensor_kind: TensorKind = "auto") -> Any:
        """The value of an id, as a copy of its own. Raises LookupError if there is none, DamagedDataError."""
        record = self.record(unique_id)
        for _ in range(_TRIES):
            if record is None:
                break
            try:
                return self.value_of(record, tensor_kind)
            except FileNotFoundError as error:
                newer = self.record(unique_id)
                if newer == record:
                    raise DamagedDataError("is gone; another program removed it", source=error.filename) from error
                record = newer
        raise LookupError(unique_id)

    def value_of(self, record: Record, tensor_kind: TensorKind = "auto") -> Any:
        """The value of a record. Raises FileNotFoundError if it was replaced meanwhile, DamagedDataError."""
        if record.text is not None:
            return decode(record.codec, record.text.encode("utf-8"), tensor_kind)
        path = self.path_of(record.file or "")
        data = read_blob(path)
        if len(data) != record.size:
            raise DamagedDataError(f"has {len(data)} bytes instead of {record.size}", source=path)
        try:
            return decode(record.codec, data, tensor_kind)
        except DamagedDataError as error:
            raise DamagedDataError(error.problem, source=path) from error

    def path_of(self, file: str) -> Path:
        """Where a file of a record is."""
        place, _, name = file.partition(":")
        return (self.room.root if place == "ram" else self.home) / name

    def digest(self, record: Record) -> str:
        """The SHA-256 of a record's data: the same for equal values. Computed once for each file, about 1 ms per MB."""
        if record.text is not None:
            return hashlib.sha256(record.text.encode("utf-8")).hexdigest()
        file = record.file or ""
        found = self._digests.get(file)
        if found is None:
            found = self._digests[file] = hashlib.sha256(read_blob(self.path_of(file))).hexdigest()
        return found

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, encoded: EncodedValue, *, use_ram: bool) -> Record:
        """Write a value that no id has yet; :meth:`commit` or :meth:`drop` must follow.

        It goes to memory if ``use_ram`` and there is room, else to disk. Raises DiskFullError, StorageFullError if
        memory is full too, StateError, OSError.
        """
        self._check_open()
        if use_ram and encoded.codec == "json" and encoded.size <= INLINE:
            return Record("ram", "json", encoded.size, text=encoded.head.decode("ascii"))
        obstacle = ""
        if use_ram:
            record, obstacle = self._write_to_memory(encoded)
            if record is not None:
                return record
            self._warn_of_disk(encoded.size, obstacle)
        try:
            name = write_blob(self.home, encoded.pieces(), encoded.size, reserved=False)
        except FileNotFoundError:
            self._check_open()  # shut down meanwhile
            raise
        except OSError as error:
            self._raise_if_full(error, "a value", obstacle)
            raise
        return Record("disk", encoded.codec, encoded.size, file=f"disk:{name}")

    def adopt(self, storage: StorageType, name: str, codec: str, size: int) -> Record:
        """The record of a file that another process wrote into :attr:`memory_folder` or :attr:`home`.

        :meth:`commit` or :meth:`drop` must follow. Raises DamagedDataError if it is not such a file, FileNotFoundError.
        """
        folder = self.home if storage == "disk" else self.memory_folder
        if folder is None or not NAME.fullmatch(name):
            raise DamagedDataError(f"{name!r} is not the name of a file of this context")
        place = "disk:" if storage == "disk" else f"ram:{folder.relative_to(self.room.root).as_posix()}/"
        record = Record.of_json(Record(storage, codec, size, file=place + name).as_json())
        found = (folder / name).stat(follow_symlinks=False).st_size
        if found != size:
            raise DamagedDataError(f"has {found} bytes instead of {size}", source=folder / name)
        if storage == "ram":
            with self._lock:
                self._without_id[place + name] = size
        return record

    def commit(self, saved: Mapping[str, Record], deleted: tuple[str, ...] = ()) -> None:
        """Give written records their ids, and take other ids away: all at once, for every reader.

        Raises StateError, OSError; then nothing has changed, and the new files are removed.
        """
        change: Change = {"set": {unique_id: record.as_json() for unique_id, record in saved.items()}}
        if deleted:
            change["delete"] = list(deleted)
        try:
            with self._lock:
                self._check_open()
                self._publish(change)
                free = self._table.apply(saved, deleted)
                for record in saved.values():
                    self._without_id.pop(record.file or "", None)
                self._remove(free)
                self._shrink_index()
        except BaseException:
            for record in saved.values():
                self.drop(record)
            raise

    def delete(self, unique_id: str, *, only: Record | None = None) -> Record | None:
        """Remove an id and return its record; with ``only``, only if it still has that record. Raises StateError."""
        with self._lock:
            found = self.record(unique_id)
            if found is None or (only is not None and found != only):
                return None
            self.commit({}, (unique_id,))
            return found

    def drop(self, record: Record) -> None:
        """Remove the file of a written record, unless an id or a pin has it by now. Never raises."""
        with self._lock:
            if record.file is not None and not self._table.is_needed(record.file):
                self._without_id.pop(record.file, None)
                folders.remove_file(self.path_of(record.file))

    def pinned_snapshot(self) -> tuple[dict[str, Record], tuple[str, ...]]:
        """All records as of now, and the pin that keeps their files. Raises StateError."""
        with self._lock:
            self._check_open()
            self._refresh()
            records = self._table.snapshot()
            return records, self._table.pin(records.values())

    @contextlib.contextmanager
    def holding(self, unique_id: str) -> Iterator[Record | None]:
        """Gives the record of an id, whose file stays until the block ends, whatever is saved meanwhile."""
        with self._lock:
            record = self.record(unique_id)
            files = self._table.pin([] if record is None else [record])
        try:
            yield record
        finally:
            self.unpin(files)

    def unpin(self, files: tuple[str, ...]) -> None:
        """Let go of the files of :meth:`pinned_snapshot`, and remove those that nothing needs any more."""
        with self._lock:
            self._remove(self._table.unpin(files))

    def close(self) -> None:
        """Remove everything, if this process made the context; else only close the index. Safe to call twice."""
        with self._lock:
            self._is_closed = True
            self._table = RecordTable()
            self._digests.clear()
        self._release()

    def after_fork(self) -> None:
        """In a forked child: it made nothing, and the thread that held the lock may not exist here."""
        self._lock = threading.RLock()
        self._is_owner = False

    # --- inside ------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.is_closed:
            raise StateError(f"the context {self.run_id!r} was shut down; make a new one")

    def _refresh(self) -> None:
        """Read what other processes changed. Call it with the lock held."""
        if self._is_closed:
            return
        try:
            if not self._receipts.changed():
                return
            with self._receipts.locked():
                self._catch_up()
        except FileNotFoundError as error:
            self._lost(error)

    def _catch_up(self) -> None:
        starts_again, changes = self._receipts.news()
        old = self._table.snapshot() if starts_again else {}
        free: list[str] = []
        if starts_again:
            free += self._table.apply({}, tuple(old))
        for change in changes:
            records = {unique_id: Record.of_json(facts) for unique_id, facts in change.get("set", {}).items()}
            free += self._table.apply(records, change.get("delete", ()))
            if "memory" in change and not self.is_owner:
                self._memory = self.room.root / memory_folder_name(change["memory"])
        self._remove([file for file in dict.fromkeys(free) if not self._table.is_needed(file)])

    def _publish(self, change: Change) -> None:
        """Write a change into the index, after what others wrote. Call it with the lock held."""
        try:
            with self._receipts.locked() as has_news:
                if has_news:
                    self._catch_up()
                self._receipts.append(change)
        except FileNotFoundError as error:
            self._lost(error)
            self._check_open()
        except OSError as error:
            self._raise_if_full(error, "the index")
            raise

    def _shrink_index(self) -> None:
        if not self.is_owner or not self._receipts.may_shrink():
            return
        records = {unique_id: record.as_json() for unique_id, record in self._table.snapshot().items()}
        change: Change = {"set": records}
        if self._memory is not None:
            change["memory"] = self._memory.relative_to(self.room.root).as_posix()
        try:
            with self._receipts.locked():
                self._catch_up()
                self._receipts.shrink(self.run_id, change)
        except OSError as error:
            # The long file stays valid.
            _log.debug("the index could not be written again: %s", error)

    def _remove(self, files: list[str]) -> None:
        # Only the owner knows about pins.
        if self.is_owner:
            for file in files:
                self._digests.pop(file, None)
                folders.remove_file(self.path_of(file))

    def _lost(self, error: FileNotFoundError) -> None:
        """The folder of the context is gone: its owner shut it down, or this is the owner and something is wrong."""
        if self.is_owner:
            raise DamagedDataError(
                "is gone; another program removed the folder of this context", source=error.filename
            ) from error
        self._is_closed = True
        self._table = RecordTable()

    @contextlib.contextmanager
    def _reserved(self, size: int) -> Iterator[str]:
        """Holds ``size`` bytes of memory against other threads; gives the reason if they do not fit."""
        with self._lock:
            self._refresh()
            used = self._table.ram_bytes + self._being_written + sum(self._without_id.values())
            obstacle = self.room.obstacle(size, used)
            held = 0 if obstacle else size
            self._being_written += held
        try:
            yield obstacle
        finally:
            with self._lock:
                self._being_written -= held

    def _memory_folder(self) -> Path | None:
        """The folder in memory, which the owner makes. ``None`` if there is none."""
        with self._lock:
            if self._memory is None and self.is_owner and self.room.limit:
                try:
                    claim = folders.make_memory_folder(self.room.root, self.run_id)
                except OSError as error:
                    _log.debug("no folder in memory: %s", error)
                    return None
                self._memory = claim.path
                self._claims.append(claim)
                self._publish({"memory": claim.path.relative_to(self.room.root).as_posix()})
            return self._memory

    def _write_to_memory(self, encoded: EncodedValue) -> tuple[Record | None, str]:
        """The record, or ``None`` and the reason."""
        with self._reserved(encoded.size) as obstacle:
            if obstacle:
                return None, obstacle
            folder = self._memory_folder()
            if folder is None:
                return None, f"no folder can be made in {self.room.root}"
            try:
                name = write_blob(folder, encoded.pieces(), encoded.size, reserved=True)
            except OSError as error:
                return None, str(error)
            file = f"ram:{folder.relative_to(self.room.root).as_posix()}/{name}"
            with self._lock:
                self._without_id[file] = encoded.size
            return Record("ram", encoded.codec, encoded.size, file=file), ""

    def _raise_if_full(self, error: OSError, what: str, obstacle: str = "") -> None:
        if error.errno in _FULL:
            kind = StorageFullError if obstacle else DiskFullError
            remedy = "Delete or export values, or free some space there" + (f"; {obstacle}" if obstacle else "")
            raise kind(self.home, f"storing {what}", number=error.errno, remedy=remedy) from error

    def _warn_of_disk(self, size: int, obstacle: str) -> None:
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        _log.log(level, "a value of %.1f MB is stored on disk: %s", size / 1e6, obstacle)


def _release(claims: list[ClaimedFolder], receipts: Receipts) -> None:
    """Remove the folders: at the end of a context, of the last reference to it, or of the interpreter."""
    receipts.close()
    # In memory first: the folder on disk says to other processes that the context lives.
    for claim in reversed(claims):
        claim.remove()


def _after_fork_in_child() -> None:
    global _living_lock  # noqa: PLW0603 - its holder may not exist in the child
    _living_lock = threading.Lock()
    for storage in list(_all):
        storage.after_fork()


in_forked_child(_after_fork_in_child)
