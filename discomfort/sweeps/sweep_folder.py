"""The folder of a sweep: its lock, its journal, and results that appear with their record or not at all. Blocking.

A row's files are saved in a staging folder. Then its record, which names the staging folder and the final names, gets
into the journal: this is the moment from which the row is done. Only then the files get their names. A process that is
killed in between leaves the rest of the renaming to the next one, which finds it in the record. Staging folders that no
record names belong to rows that were running; they are removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from discomfort._json import JsonObject
from discomfort._system.atomic_files import give_name
from discomfort._system.descriptors import open_existing, sync_folder
from discomfort._system.disk_space import writing_to
from discomfort._system.filenames import candidates, safe_filename
from discomfort._system.locks import AVAILABLE, FileLock
from discomfort._system.removal import remove_tree
from discomfort.exceptions import FolderInUseError
from discomfort.sweeps.row_journal import RowJournal

_log = logging.getLogger("discomfort.sweeps")

PRIVATE = ".sweep"
"""The folder with the lock, the journal and the staging folders."""


_PATIENCE = 1.0
"""Seconds in which the lock of a killed process must be free: a child may have a copy of it until it runs a program."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file of a row in its staging folder, the name of its output, and what its name has after that of the row."""

    path: Path
    output: str
    kind: str
    tail: str = ""


class SweepFolder:
    """The folder, held by this sweep until :meth:`close`."""

    def __init__(self, folder: Path, lock: FileLock | None, journal: RowJournal) -> None:
        self.path = folder
        self._lock, self._journal = lock, journal
        self._private = folder / PRIVATE

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Take the folder, which is created if it is missing, and put in order what a killed process left.

        Raises FolderInUseError, OSError, DiskFullError among them.
        """
        private = folder / PRIVATE
        with writing_to(folder, "opening the folder of a sweep"):
            private.mkdir(parents=True, exist_ok=True)
            lock = _take_lock(folder, private / "lock")
        try:
            found = cls(folder, lock, RowJournal(private / "journal.jsonl"))
            found._put_in_order()
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return found

    def done(self, key: str) -> JsonObject | None:
        """The record of a row that is done, and whose files are all there."""
        record = self._journal.records.get(key)
        if record is None or record.get("status") != "done":
            return None
        missing = [name for name in names_of(record) if not (self.path / name).is_file()]
        if missing:
            _log.info("%s is gone: its row is done again", missing[0])
            return None
        return record

    def names_taken(self, missing: Container[str]) -> list[str]:
        """The names of rows that are done, except for those that are made again."""
        records = self._journal.records.items()
        return [str(record.get("name", "")) for key, record in records if key not in missing and names_of(record)]

    def stage(self) -> Path:
        """A new staging folder."""
        folder = self._private / f"part-{secrets.token_hex(8)}"
        with writing_to(self.path, "saving a result"):
            folder.mkdir()
        return folder

    def drop(self, stage: Path) -> None:
        """Remove the staging folder of a row that did not end."""
        remove_tree(stage)

    def commit(self, record: JsonObject, stage: Path, files: Sequence[StagedFile]) -> JsonObject:
        """Make a row done. Returns its record with the names of its files. Raises OSError, also DiskFullError."""
        with writing_to(self.path, "saving a result"):
            for file in files:
                _sync(file.path)
            names = self._free_names(str(record["name"]), [file.tail + file.path.suffix for file in files])
            told = [
                {"output": file.output, "kind": file.kind, "file": name, "staged": file.path.name}
                for file, name in zip(files, names, strict=True)
            ]
            record = {**record, "status": "done", "files": told, "stage": stage.name}
            sync_folder(stage)
            self._journal.append(record)
            return self._publish(record)

    def note_failure(self, record: JsonObject) -> JsonObject:
        """Record a row that failed. Raises OSError, DiskFullError among them."""
        record = {**record, "status": "failed"}
        self._journal.append(record)
        return record

    def write(self, name: str, data: bytes) -> Path:
        """Write a file of the sweep's own, completely or not at all, replacing an older one. Returns its path.

        Raises OSError, DiskFullError among them.
        """
        temporary, file = self._private / name, self.path / name
        with writing_to(self.path, "writing", file):
            # A fixed name in the private folder: what a killed process left there is written over by the next.
            temporary.write_bytes(data)
            temporary.replace(file)
        return file

    def close(self) -> None:
        """Give the folder free. Idempotent."""
        self._journal.close()
        if self._lock is not None:
            self._lock.release()

    def _free_names(self, name: str, tails: Sequence[str]) -> list[str]:
        # With a dot at the end, what follows another dot is not an extension.
        for base in candidates(f"{name}."):
            names = [safe_filename(base.rstrip(".") + tail, "_") for tail in tails]
            if not any(os.path.lexists(self.path / each) for each in names):
                return names
        raise FileExistsError(f"{self.path / name} and all names after it are taken")

    def _publish(self, record: JsonObject) -> JsonObject:
        """Give the staged files of a record their names. It may be repeated, wherever it was ended."""
        stage = self._private / safe_filename(str(record["stage"]), "_")
        for index in range(len(record["files"])):
            entry = record["files"][index]
            staged, name = stage / safe_filename(str(entry["staged"]), "_"), safe_filename(str(entry["file"]), "_")
            while staged.exists():
                target = self.path / name
                # A kill between the link and the removal of the older name leaves both names to one file.
                if target.exists() and staged.samefile(target):
                    staged.unlink()
                    break
                try:
                    give_name(staged, target)
                except FileExistsError:
                    # Another program took the name meanwhile. The journal knows of the next one before it is used.
                    name = next(each for each in candidates(name) if not os.path.lexists(self.path / each))
                    record = _renamed(record, index, name)
                    self._journal.append(record)
        sync_folder(self.path)
        remove_tree(stage)
        return record

    def _put_in_order(self) -> None:
        by_stage = {str(record.get("stage")): record for record in self._journal.records.values()}
        for stage in sorted(self._private.glob("part-*")):
            if stage.name in by_stage:
                self._publish(by_stage[stage.name])
            else:
                remove_tree(stage)


def names_of(record: JsonObject) -> list[str]:
    """The names of a record's files; of a journal that somebody changed only those that are plain names."""
    files = record.get("files")
    names = [str(entry.get("file")) for entry in files if isinstance(entry, dict)] if isinstance(files, list) else []
    return [name for name in names if safe_filename(name, "_") == name]


def _take_lock(folder: Path, path: Path) -> FileLock | None:
    if not AVAILABLE:
        _log.warning("this system has no locks: start no second sweep in %s", folder)
        return None
    lock = FileLock.take(path, timeout=_PATIENCE)
    if lock is None:
        raise FolderInUseError(folder, pid=_holder(path))
    with contextlib.suppress(OSError):
        path.write_text(f"{os.getpid()}\n", encoding="ascii")
    return lock


def _holder(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _renamed(record: JsonObject, index: int, name: str) -> JsonObject:
    files = [{**entry, "file": name} if number == index else entry for number, entry in enumerate(record["files"])]
    return {**record, "files": files}


def _sync(path: Path) -> None:
    descriptor = open_existing(path)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
