"""The journal of a folder: one line of JSON for each row that ended. Blocking.

A line counts once its newline is on the disk. What a killed process left of a line is cut off by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
from pathlib import Path

from discomfort._error_text import joined
from discomfort._json import JsonObject
from discomfort._system.descriptors import open_or_create, sync_folder, write_all
from discomfort._system.disk_space import writing_to
from discomfort._system.filenames import safe_filename
from discomfort.exceptions import SweepError

_log = logging.getLogger("discomfort.sweeps")

VERSION = 1
_MOST_TOLD = 5
_HEAD = {"journal": "discomfort sweep", "version": VERSION}


class RowJournal:
    """The open journal; only the holder of the folder's lock may have one. ``records`` has the last one of each key."""

    records: dict[str, JsonObject]

    def __init__(self, path: Path) -> None:
        """Read what is there. Raises OSError, DiskFullError among them, SweepError for a file of a newer version."""
        self._path = path
        with writing_to(path.parent, "opening the journal", path):
            self._descriptor = open_or_create(path, 0o666)
            try:
                self._end = self._read()
                os.ftruncate(self._descriptor, self._end)
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
                if self._end == 0:
                    self._write(_HEAD)
                    sync_folder(path.parent)
            except BaseException:
                self.close()
                raise

    def append(self, record: JsonObject) -> None:
        """Add a record, which has ``key``. When this returns, it survives a power cut; if it raises, it is not there.

        Raises OSError, DiskFullError among them.
        """
        with writing_to(self._path.parent, "writing the journal", self._path):
            self._write(record)
        self.records[record["key"]] = record

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, record: JsonObject) -> None:
        line = json.dumps(record, ensure_ascii=True, default=str).encode() + b"\n"
        try:
            write_all(self._descriptor, line)
            os.fsync(self._descriptor)
        except BaseException:
            # Half of a line would spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(line)

    def _read(self) -> int:
        """Read all records, and return where the last complete line ends."""
        self.records = {}
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise OSError(errno.EINVAL, "the journal is not a file", str(self._path))
        with os.fdopen(os.dup(self._descriptor), "rb") as stream:
            data = stream.read()
        lines = data.split(b"\n")
        unreadable = [number for number, line in enumerate(lines[:-1], 1) if not self._take(line)]
        if unreadable:
            lines_told = ("line " if len(unreadable) == 1 else "lines ") + joined(unreadable, ", ", _MOST_TOLD)
            _log.warning("%s, %s cannot be read: what it told is done again", self._path, lines_told)
        return len(data) - len(lines[-1])

    def _take(self, line: bytes) -> bool:
        """Take one line over; whether it could be read."""
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(record, dict):
            return False
        if isinstance(record.get("version"), int) and record["version"] > VERSION:
            remedy = "Update discomfort, or choose another folder"
            raise SweepError("written by a newer version of discomfort", place=str(self._path), remedy=remedy)
        if "key" not in record:
            return True
        if not _is_whole(record):
            return False
        self.records[str(record["key"])] = record
        return True


def _is_whole(record: JsonObject) -> bool:
    """Whether a record that is done names its files, each as one of this folder."""
    files = record.get("files", [])
    return (
        isinstance(files, list) and ("files" in record or record.get("status") != "done") and all(map(_is_file, files))
    )


def _is_file(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    name, staged = entry.get("file"), entry.get("staged", "")
    return isinstance(name, str) and isinstance(staged, str) and safe_filename(name, "_") == name
