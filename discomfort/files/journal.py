"""The list on disk of files to delete after this process, so that even a power cut leaves nothing for good.

Each journal is an append-only file of JSON lines, named after process id, start and a number, since one process may
have several. While the process lives it holds a lock on its file; the kernel releases it with the process. At the next
start, :meth:`Journal.recover` deletes what the journals of dead processes list, and only that: a line must name a real
root and a path inside it, and the file there must still be the one (inode, size, time of change) that the line
describes.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from discomfort import _json
from discomfort._system.descriptors import create, open_existing, open_or_create, sync_folder, write_all
from discomfort._system.disk_space import writing_to
from discomfort._system.locks import FileLock, is_at, keep_from_children, try_lock
from discomfort._system.ownership import start_of
from discomfort._system.user import is_ours
from discomfort.exceptions import StateError
from discomfort.files.journal_entries import JournalEntry, entry_record, read_entries, remove_entry

logger: logging.Logger = logging.getLogger("discomfort.files")

Hook = Callable[["JournalEntry"], None]

_NAME = re.compile(r"(\d{1,10})-([0-9a-f.]{1,64})(?:-\d{1,10})?\.jsonl")
_numbers = itertools.count(1)
_COMPACT = ".compact"
"""Suffix of a journal's name while it is rewritten without its dropped entries."""
_COMPACT_FROM = 512
"""Lines from which a journal is rewritten when more than half of them are obsolete: about 150 kB."""
_RECOVERY_WAIT = 30.0
"""Seconds to wait for another process's recovery, which does our work in that time."""


class Journal:
    """A journal of this process in ``directory`` (default: ``discomfort/journal`` in the user's state directory).

    Nothing is created before the first entry. ``on_add`` and ``on_remove`` are called with each entry, to inform a
    watchdog: ``on_add`` after the entry is on disk and before the file is visible. Folders are listed too, and deleted
    only if empty. An exception in a hook is raised by the method that called it.

    A forked child does not own the journal: its copy of this object neither writes nor deletes.

    All methods are thread-safe.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory: Path = directory or platformdirs.user_state_path("discomfort", appauthor=False) / "journal"
        self.on_add: Hook | None = None
        self.on_remove: Hook | None = None
        self._owner = os.getpid()
        self._path = self.directory / f"{self._owner}-{_start_of(self._owner)}-{next(_numbers)}.jsonl"
        self._fd: int | None = None
        self._entries: dict[Path, JournalEntry] = {}
        self._lines, self._compact_at = 0, _COMPACT_FROM
        self._closed = False
        # Reentrant: a signal handler that releases everything may interrupt the thread that writes an entry.
        self._lock = threading.RLock()
        keep_from_children(self)

    def leave_to_parent(self) -> None:
        """In a forked child: close the copy of the file. The thread lock's holder may not exist here, so replace it."""
        self._lock = threading.RLock()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    @property
    def path(self) -> Path:
        """The file of this journal; created with the first entry."""
        return self._path

    @property
    def is_ours(self) -> bool:
        """Whether this process made the journal, as opposed to a forked child with a copy of it."""
        return os.getpid() == self._owner

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """The entries listed now, oldest first."""
        with self._lock:
            return tuple(self._entries.values())

    def find(self, path: Path) -> JournalEntry | None:
        """The entry of a path, if it is listed."""
        with self._lock:
            return self._entries.get(path)

    def add(self, entry: JournalEntry) -> None:
        """Add an entry; when this returns, it survives a power cut. Raises ``OSError``."""
        with self._lock, writing_to(self.directory, "the journal of ephemeral files"):
            self._write(entry_record(entry), is_durable=True)
            # Removed first, so that a path that is added again moves to the end: recovery deletes the youngest first,
            # files before the folders that they are in.
            self._entries.pop(entry.path, None)
            self._entries[entry.path] = entry
        # Outside the lock: the hook may wait for the watchdog process, and other threads must not wait for that.
        if self.on_add is not None:
            self.on_add(entry)

    def drop(self, path: Path) -> None:
        """Remove an entry; unknown paths are ignored. Raises ``OSError``."""
        with self._lock:
            entry = self._entries.pop(path, None)
            if entry is None:
                return
            # Not fsynced: recovery skips entries whose file no longer exists.
            self._write({"op": "drop", "path": str(path)}, is_durable=False)
            if self._lines >= self._compact_at and len(self._entries) * 2 < self._lines:
                self._compact()
        if self.on_remove is not None:
            self.on_remove(entry)

    def abandoned(self) -> list[tuple[Path, tuple[JournalEntry, ...]]]:
        """The journals of dead processes with their entries, as :meth:`recover` would process them.

        Nothing is changed. Journals that other users may have written are left out.
        """
        found: list[tuple[Path, tuple[JournalEntry, ...]]] = []
        for path in sorted(self.directory.glob("*.jsonl")) if self.directory.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match is None or path == self._path or _start_of(int(match[1])) == match[2]:
                continue
            try:
                fd = open_existing(path)
            except OSError as error:
                logger.debug("cannot read the journal %s: %s", path, error)
                continue
            try:
                # Shared, since this only looks: several such looks at once do not hinder each other.
                if not try_lock(fd, shared=True):
                    logger.debug("the journal %s is held by a live process", path)
                elif _is_trusted(os.fstat(fd)):
                    found.append((path, tuple(read_entries(path, fd))))
            except OSError as error:
                logger.debug("nobody can tell whether the journal %s is held: %s", path, error)
            finally:
                os.close(fd)
        return found

    def recover(self) -> list[Path]:
        """Delete what dead processes left, and return the deleted paths.

        The journals of live processes are left alone. Damaged, foreign and hostile lines are skipped with a warning. A
        journal whose files could not all be deleted is kept for the next time. Waits up to 30 s for another process
        that is recovering, then leaves the work to it. A directory that is missing or unreadable is not an error.
        """
        removed: list[Path] = []
        if not self.directory.is_dir():
            return removed
        try:
            lock = FileLock.take(self.directory / "recover.lock", timeout=_RECOVERY_WAIT)
        except OSError as error:
            logger.warning("cannot delete what earlier processes left: %s", error)
            return removed
        if lock is None:
            logger.warning("another process is still cleaning up %s; leaving it to that one", self.directory)
            return removed
        try:
            for path in sorted(self.directory.iterdir()):
                if _NAME.fullmatch(path.name) and path != self._path:
                    removed.extend(self._recover_one(path))
                elif path.name.endswith(_COMPACT):
                    self._remove_half_compacted(path)
        except OSError as error:
            logger.warning("cannot delete what earlier processes left: %s", error)
        finally:
            lock.release()
        return removed

    def close(self) -> None:
        """Remove the file of this journal if it no longer lists anything. Idempotent.

        If entries are left (they could not be deleted), the file is kept, and a later :meth:`recover` tries again.
        """
        with self._lock:
            self._closed = True
            fd, self._fd = self._fd, None
            if fd is None:
                return
            # Unlinked while the lock is still held, so that no recovery opens a file that is about to vanish.
            try:
                if self.is_ours and not self._entries:
                    self._path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("cannot remove the journal %s: %s", self._path, error)
            finally:
                os.close(fd)

    def _write(self, record: dict[str, Any], *, is_durable: bool) -> None:
        if not self.is_ours:
            raise StateError("the journal belongs to the parent process; a forked child must create its own connector")
        if self._fd is None:
            if self._closed:
                # A copy in another thread was under way when everything was released, and now takes its entry back.
                if record["op"] == "drop":
                    if not self._entries:
                        self._path.unlink(missing_ok=True)
                    return
                raise StateError("the journal is closed: the connector was shut down")
            self._fd = self._open()
        _write_line(self._fd, record)
        self._lines += 1
        if is_durable:
            os.fsync(self._fd)

    def _compact(self) -> None:
        """Rewrite the journal with the current entries. At any moment there is one complete journal under its name."""
        new = self._path.with_name(self._path.name + _COMPACT)
        fd = -1
        try:
            fd = create(new, 0o600, append=True)
            # Locked before it gets the name, so that no recovery takes it for the journal of a dead process.
            _lock(fd, new)
            for entry in self._entries.values():
                _write_line(fd, entry_record(entry))
            # The content, then the name: after a power cut, the name must not point to an empty file.
            os.fsync(fd)
            new.replace(self._path)
            sync_folder(self.directory)
        except OSError as error:
            logger.warning("cannot rewrite the journal %s, it keeps growing for now: %s", self._path, error)
            # Not at every drop from now on: with a full disk each try would cost time and a line in the log.
            self._compact_at = 2 * self._lines
            if fd >= 0:
                os.close(fd)
                new.unlink(missing_ok=True)
            return
        old, self._fd = self._fd, fd
        if old is not None:
            os.close(old)
        self._lines, self._compact_at = len(self._entries), max(_COMPACT_FROM, 2 * len(self._entries))

    def _open(self) -> int:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = open_or_create(self._path, 0o600, append=True)
        try:
            _lock(fd, self._path)
            sync_folder(self.directory)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _recover_one(self, path: Path) -> list[Path]:
        match = _NAME.fullmatch(path.name)
        if match is None or _start_of(int(match[1])) == match[2]:
            return []
        try:
            fd = open_existing(path, writable=True)
        except OSError as error:
            logger.warning("cannot read the journal %s: %s", path, error)
            return []
        try:
            # A lock that is held belongs to a live process that we cannot see, for example in another container. Its
            # owner may have rewritten the journal since we opened it; then this file is no longer the current one.
            return _recover_locked(path, fd) if try_lock(fd) and is_at(path, fd) else []
        finally:
            os.close(fd)

    def _remove_half_compacted(self, path: Path) -> None:
        """Remove the file that a process left if it died while rewriting its journal, which itself is complete."""
        match = _NAME.fullmatch(path.name.removesuffix(_COMPACT))
        if match is not None and _start_of(int(match[1])) != match[2]:
            with contextlib.suppress(OSError):
                path.unlink()


def _write_line(fd: int, record: dict[str, Any]) -> None:
    # The line break comes first, so that a line that a full disk cut short does not damage the next one.
    write_all(fd, b"\n" + _json.dumps(record))


def _is_trusted(status: os.stat_result) -> bool:
    """Whether nobody but this user can have written the journal."""
    return stat.S_ISREG(status.st_mode) and is_ours(status) and not status.st_mode & 0o022


def _recover_locked(path: Path, fd: int) -> list[Path]:
    """Process one journal, whose lock we hold."""
    if not _is_trusted(os.fstat(fd)):
        logger.warning("ignoring the journal %s: others may have written it", path)
        return []
    removed: list[Path] = []
    has_failed = False
    # The youngest first: a folder is listed before the files in it, and can be removed only after them.
    for entry in reversed(list(read_entries(path, fd))):
        try:
            outcome = remove_entry(entry)
        except OSError as error:
            has_failed = True
            logger.warning("cannot delete %s, left by an earlier process: %s", entry.path, error)
            continue
        if outcome == "removed":
            removed.append(entry.path)
        elif outcome == "kept" and entry.kind != "folder":
            logger.warning("keeping %s: it is not the file that an earlier process put there", entry.path)
    if not has_failed:
        path.unlink(missing_ok=True)
    if removed:
        logger.info("deleted %d files and folders that an earlier process left", len(removed))
    return removed


def _lock(fd: int, path: Path) -> None:
    try:
        if not try_lock(fd):
            logger.warning("the journal %s is locked by somebody else", path)
    except OSError as error:
        # Some network file systems have no locks: process id and start in the name still show that we are alive.
        logger.warning("cannot lock the journal %s: %s", path, error)


def _start_of(pid: int) -> str:
    """The start of a process in a form for file names; ``""`` if it does not run. With the pid it is unique."""
    return start_of(pid).replace("-", "")
