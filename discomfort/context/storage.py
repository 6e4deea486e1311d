"""The values of one context: in the file system in memory, on disk, or, if small, in the index itself."""

# Longer than 400 lines: everything that decides which files exist must be read side by side.

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from discomfort._system.claimed_folders import ClaimedFolder
from discomfort._system.forks import in_forked_child
from discomfort.context import folders
from discomfort.context.blobs import BLOB_FILE, NAME, read_blob, write_blob
from discomfort.context.capacity import MemoryRoom, raise_if_full
from discomfort.context.codecs import EncodedValue, decode
from discomfort.context.digests import content_hash, write_digested
from discomfort.context.end_watchers import EndWatchers
from discomfort.context.ended_runs import EndedRuns
from discomfort.context.receipts import Receipts
from discomfort.context.records import Record, StorageType
from discomfort.context.shared_index import SharedIndex
from discomfort.context.tensors import TensorKind
from discomfort.exceptions import DamagedDataError, DiscomfortError, StateError

_log = logging.getLogger("discomfort.context")

INLINE = 64 << 10
"""Bytes up to which JSON is kept in the index."""
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
        self._index = SharedIndex(run_id, receipts, is_owner=claim is not None)
        self._lock = threading.RLock()
        self._claims = [] if claim is None else [claim]
        # Bytes of memory by file, of files that no id has yet; by another key while a file is written.
        self._without_id: dict[object, int] = {}
        self._has_warned = False
        self._digests: dict[str, str] = {}
        self._ended = EndedRuns(home)
        self.end_watchers = EndWatchers()
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
        if found is not None and not found.is_closed:
            return found
        return cls(run_id, home, Receipts.open(home), room, None)

    @property
    def is_owner(self) -> bool:
        """Whether this process made the context. False in a forked child."""
        return self._index.is_owner

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, here or by its owner."""
        if not self._index.is_gone and not self.is_owner and not self.home.exists():
            with self._lock:
                self._index.forget()
        return self._index.is_gone

    @property
    def memory_folder(self) -> Path | None:
        """The folder of the files in memory; ``None`` if there is none."""
        return None if self._index.memory is None else self.room.root / self._index.memory

    # --- reading -----------------------------------------------------------------------------------------------------

    def record(self, unique_id: str) -> Record | None:
        """The record of an id, as of now."""
        with self._lock:
            self._refresh()
            return self._index.table.get(unique_id)

    def records(self) -> dict[str, Record]:
        """All records by id, as of now."""
        with self._lock:
            self._refresh()
            return self._index.table.snapshot()

    def usage(self) -> tuple[int, int]:
        """Bytes stored in memory and on disk."""
        with self._lock:
            self._refresh()
            return self._index.table.ram_bytes, self._index.table.disk_bytes

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
                    raise _gone(error) from error
                record = newer
        self._check_open()
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

    def held_value(self, record: Record, tensor_kind: TensorKind = "auto") -> Any:
        """The value of a record whose file a pin keeps. Raises DamagedDataError."""
        try:
            return self.value_of(record, tensor_kind)
        except FileNotFoundError as error:
            raise _gone(error) from error

    def path_of(self, file: str) -> Path:
        """Where a file of a record is."""
        place, _, name = file.partition(":")
        return (self.room.root if place == "ram" else self.home) / name

    def digest(self, record: Record) -> str:
        """The digest of a record's data: the same for equal values. Computed once for each file."""
        if record.text is not None:
            return content_hash(record.text.encode("utf-8"))
        file = record.file or ""
        found = self._digests.get(file)
        if found is None:
            found = self._digests[file] = content_hash(read_blob(self.path_of(file)))
        return found

    def needed_files(self, blobs: Iterable[str]) -> tuple[str, ...]:
        """The files of a reference's ``blobs`` that are in this context."""
        files = {f"ram:{self.run_id}": f"ram:{self._index.memory}/", f"disk:{self.run_id}": "disk:"}
        parts = [blob.rpartition("/") for blob in blobs]
        return tuple(files[place] + name for place, _, name in parts if place in files and NAME.fullmatch(name))

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, encoded: EncodedValue, *, use_ram: bool, is_digested: bool = False) -> Record:
        """Write a value that no id has yet; :meth:`commit` or :meth:`drop` must follow.

        It goes to memory if ``use_ram`` and there is room, else to disk. With ``is_digested``, its digest is found
        while it is written. Raises DiskFullError, StorageFullError if memory is full too, StateError, OSError.
        """
        self._check_open()
        if use_ram and encoded.codec == "json" and encoded.size <= INLINE:
            return Record("ram", "json", encoded.size, text=encoded.head.decode("ascii"))
        obstacle = ""
        if use_ram:
            record, obstacle = self._write_to_memory(encoded, is_digested=is_digested)
            if record is not None:
                return record
            self._warn_of_disk(encoded.size, obstacle)
        try:
            file = self._written(self.home, "disk:", encoded, is_reserved=False, is_digested=is_digested)
        except FileNotFoundError:
            self._check_open()  # shut down meanwhile
            raise
        except OSError as error:
            raise_if_full(error, self.home, "a value", obstacle)
            raise
        return Record("disk", encoded.codec, encoded.size, file=file)

    def adopt(self, storage: StorageType, name: str, codec: str, size: int, digest: str = "") -> Record:
        """The record of a file that another process wrote into :attr:`memory_folder` or :attr:`home`.

        ``digest`` is what :meth:`digest` is to give for it. :meth:`commit` or :meth:`drop` must follow. Raises
        DamagedDataError if it is not such a file, FileNotFoundError.
        """
        folder = self.home if storage == "disk" else self.memory_folder
        if folder is None or not NAME.fullmatch(name):
            raise DamagedDataError(f"{name!r} is not the name of a file of this context")
        place = "disk:" if storage == "disk" else f"ram:{self._index.memory}/"
        record = Record.of_json(Record(storage, codec, size, file=place + name).as_json())
        found = (folder / name).stat(follow_symlinks=False).st_size
        if found != size:
            raise DamagedDataError(f"has {found} bytes instead of {size}", source=folder / name)
        if storage == "ram":
            with self._lock:
                self._without_id[place + name] = size
        if digest:
            self._digests[place + name] = digest
        return record

    def sweep(self, prefix: str) -> None:
        """Remove the files whose names begin with ``prefix``, whole or not, except for those that an id or a pin has.

        They are what a run has left that failed before it could say what it wrote. Its savers write nothing any more.
        Never raises.
        """
        # First: a saver that looks for the mark after this removes its file; what one wrote that looked before is here.
        self._ended.mark(prefix)
        for place, folder in (("disk:", self.home), (f"ram:{self._index.memory}/", self.memory_folder)):
            for path in [] if folder is None else folders.files_in(folder):
                if path.name.startswith(prefix) and BLOB_FILE.fullmatch(path.name):
                    with self._lock:
                        if not self._index.table.is_needed(place + path.name):
                            self._without_id.pop(place + path.name, None)
                            folders.remove_file(path)

    def commit(
        self, saved: Mapping[str, Record], deleted: tuple[str, ...] = (), *, is_pinned: bool = False
    ) -> tuple[str, ...]:
        """Give written records their ids, and take other ids away: all at once, for every reader.

        With ``is_pinned`` their files stay, whatever is saved later, until :meth:`unpin` gets the result.
        Raises StateError, OSError; then nothing has changed, and the new files are removed.
        """
        try:
            with self._lock:
                self._check_open()
                free = self._index.commit(saved, deleted)
                self._check_open()
                for record in saved.values():
                    self._without_id.pop(record.file, None)
                pin = self._index.table.pin(saved.values()) if is_pinned else ()
                self._remove(free)
                return pin
        except BaseException:
            with contextlib.suppress(DiscomfortError, OSError), self._lock:
                self._refresh()  # it may have been written before the error
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

    def clear(self) -> None:
        """Remove all ids. Raises StateError, OSError."""
        with self._lock:
            unique_ids = tuple(self.records())
            if unique_ids:
                self.commit({}, unique_ids)

    def drop(self, record: Record) -> None:
        """Remove the file of a written record, unless an id or a pin has it by now. Never raises."""
        with self._lock:
            self._without_id.pop(record.file, None)
            if record.file is not None and not self._index.table.is_needed(record.file):
                self._digests.pop(record.file, None)
                folders.remove_file(self.path_of(record.file))

    def pinned_snapshot(self) -> tuple[dict[str, Record], tuple[str, ...]]:
        """All records as of now, and the pin that keeps their files. Raises StateError."""
        with self._lock:
            self._check_open()
            self._refresh()
            records = self._index.table.snapshot()
            return records, self._index.table.pin(records.values())

    @contextlib.contextmanager
    def holding(self, unique_id: str) -> Iterator[Record | None]:
        """Gives the record of an id, whose file stays until the block ends, whatever is saved meanwhile."""
        with self._lock:
            record = self.record(unique_id)
            files = self._index.table.pin([] if record is None else [record])
        try:
            yield record
        finally:
            self.unpin(files)

    def unpin(self, files: tuple[str, ...]) -> None:
        """Let go of the files of :meth:`pinned_snapshot`, and remove those that nothing needs any more."""
        with self._lock:
            self._remove(self._index.table.unpin(files))

    def close(self) -> None:
        """Remove everything, if this process made the context; else only close the index. Safe to call twice."""
        with self._lock:
            self._index.forget()
            self._digests.clear()
        self.end_watchers.tell()
        self._release()

    def after_fork(self) -> None:
        """In a forked child: it made nothing, and the thread that held the lock may not exist here."""
        self._lock = threading.RLock()
        self._index.is_owner = False

    # --- inside ------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.is_closed:
            raise StateError(f"the context {self.run_id!r} was shut down; make a new one")

    def _refresh(self) -> None:
        self._remove(self._index.refresh())

    def _remove(self, files: list[str]) -> None:
        # Only the owner knows about pins.
        if files and self.is_owner:
            for file in files:
                self._digests.pop(file, None)
                folders.remove_file(self.path_of(file))

    def _memory_folder(self) -> Path | None:
        """The folder in memory, which the owner makes. ``None`` if there is none."""
        with self._lock:
            if self._index.memory is None and self.is_owner and self.room.limit:
                try:
                    claim = folders.make_memory_folder(self.room.root, self.run_id)
                except OSError as error:
                    _log.debug("no folder in memory: %s", error)
                    return None
                self._claims.append(claim)
                self._index.set_memory(claim.path.relative_to(self.room.root).as_posix())
            return self.memory_folder

    def _written(self, folder: Path, place: str, encoded: EncodedValue, *, is_reserved: bool, is_digested: bool) -> str:
        if not is_digested:
            return place + write_blob(folder, encoded.pieces(), encoded.size, reserved=is_reserved)
        digests: list[str] = []

        def write(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
            digests.append(write_digested(descriptor, pieces))

        file = place + write_blob(folder, encoded.pieces(), encoded.size, reserved=is_reserved, write=write)
        self._digests[file] = digests[0]
        return file

    def _write_to_memory(self, encoded: EncodedValue, *, is_digested: bool) -> tuple[Record | None, str]:
        """The record, or ``None`` and the reason."""
        reservation = object()
        with self._lock:
            self._refresh()
            used = self._index.table.ram_bytes + sum(self._without_id.values())
            obstacle = self.room.obstacle(encoded.size, used)
            folder = None if obstacle else self._memory_folder()
            if folder is None:
                return None, obstacle or f"no folder can be made in {self.room.root}"
            self._without_id[reservation] = encoded.size
        try:
            place = f"ram:{self._index.memory}/"
            file = self._written(folder, place, encoded, is_reserved=True, is_digested=is_digested)
        except OSError as error:
            return None, str(error)
        else:
            record = Record("ram", encoded.codec, encoded.size, file=file)
            with self._lock:
                self._without_id[file] = encoded.size
            return record, ""
        finally:
            with self._lock:
                del self._without_id[reservation]

    def _warn_of_disk(self, size: int, obstacle: str) -> None:
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        _log.log(level, "a value of %.1f MB is stored on disk: %s", size / 1e6, obstacle)


def _gone(error: FileNotFoundError) -> DamagedDataError:
    return DamagedDataError("is gone; another program removed it", source=error.filename)


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
