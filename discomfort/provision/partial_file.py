"""The part of a file that has arrived, beside its target, under a hidden name. Blocking; one process at a time.

``.NAME.part`` has the bytes, ``.NAME.part.json`` says of which version of the file they are, and ``.NAME.lock`` is
locked by the process that writes them. A process that is killed leaves the first two, and the next one goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from discomfort._system.atomic_files import give_name, write_atomically
from discomfort._system.descriptors import open_or_create, sync_folder, write_all
from discomfort._system.disk_space import writing_to
from discomfort.planning.needs import FileDigest
from discomfort.provision.file_digests import Digesting, begin_digest
from discomfort.provision.text_answers import BEGINNING

_PIECE = 1 << 20
_LONGEST_NOTES = 10_000
_TEXTS = ("source", "validator", "boot")


@dataclass(frozen=True, slots=True)
class FileVersion:
    """Which bytes a partial file has: ``source`` is the hash of its address, ``validator`` what HTTP calls so.

    ``boot`` says since which start of the machine: after a power cut, bytes may be zeros that were never written.
    ``total`` is the size of the whole file, if the host told it.
    """

    source: str
    validator: str
    boot: str
    total: int | None = None


def part_path(target: Path) -> Path:
    """Where the arrived part of ``target`` is."""
    return target.with_name(f".{target.name}.part")


def lock_path(target: Path) -> Path:
    """The file that the process which fetches ``target`` has locked."""
    return target.with_name(f".{target.name}.lock")


class PartialFile:
    """The partial file of ``target``, from :meth:`open` to :meth:`close`. Its lock must be held.

    With ``digest`` its bytes are digested as they are written. ``times_dropped`` counts how often what had
    arrived was of no use. All methods raise OSError, DiskFullError among them.
    """

    size: int
    version: FileVersion | None
    times_dropped: int

    def __init__(self, target: Path, digest: FileDigest | None) -> None:
        self.target = target
        self._path, self._wanted = part_path(target), digest
        self._notes = self._path.with_name(self._path.name + ".json")
        self._descriptor = -1
        self.size, self.version, self.times_dropped = 0, None, 0
        self._digest: Digesting | None = None

    def open(self) -> None:
        """Open what an earlier process left, or create it."""
        with writing_to(self.target.parent, "fetching", self.target):
            self._descriptor = open_or_create(self._path, 0o666)
        self.size = os.fstat(self._descriptor).st_size
        self.version = self._read_notes() if self.size else None
        if self.version is None:
            self.start_over()
        else:
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def _read_notes(self) -> FileVersion | None:
        try:
            if self._notes.stat().st_size > _LONGEST_NOTES:
                return None
            found = json.loads(self._notes.read_bytes())
            (source, validator, boot), total = (found[name] for name in _TEXTS), found.get("total")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if not all(isinstance(text, str) for text in (source, validator, boot)):
            return None
        return FileVersion(source, validator, boot, total if isinstance(total, int) else None)

    def start_over(self) -> None:
        """Drop all bytes."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.times_dropped += bool(self.size)
        self.size, self.version = 0, None
        self._digest = begin_digest(self._wanted) if self._wanted else None

    def note(self, version: FileVersion) -> None:
        """Write down which version the bytes that follow are of."""
        if version != self.version:
            with writing_to(self.target.parent, "fetching", self.target):
                write_atomically(self._notes, json.dumps(asdict(version)).encode(), private=True)
            self.version = version

    def expect(self, digest: FileDigest) -> None:
        """Take over a digest that became known later."""
        self._wanted = digest
        self._digest = None if self.size else begin_digest(digest)

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write more bytes."""
        for piece in pieces:
            with writing_to(self.target.parent, "fetching", self.target):
                write_all(self._descriptor, piece)
            if self._digest is not None:
                self._digest.update(piece)
            self.size += len(piece)

    @property
    def algorithm(self) -> str:
        """The kind of the digest that the file must have; empty if none is known."""
        return self._wanted.algorithm if self._wanted else ""

    def has_wanted_digest(self) -> bool:
        """Whether the bytes have the digest that the file must have; true if none is known.

        Reads the file if its beginning was written by an earlier process.
        """
        if self._wanted is None:
            return True
        if self._digest is None:
            self._digest_written()
        return self._digest is not None and self._digest.hexdigest() == self._wanted.digits.lower()

    def _digest_written(self) -> None:
        if self._wanted is None:
            return
        made = begin_digest(self._wanted)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while piece := os.read(self._descriptor, _PIECE):
            made.update(piece)
        self._digest = made

    def beginning(self) -> bytes:
        """The first bytes of what has arrived."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        found = os.read(self._descriptor, BEGINNING)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        return found

    def publish(self) -> None:
        """Give the complete file its name, which no other file may have. Raises FileExistsError."""
        with writing_to(self.target.parent, "fetching", self.target):
            os.fsync(self._descriptor)
            give_name(self._path, self.target)
            with contextlib.suppress(FileNotFoundError):
                self._notes.unlink()
            sync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove what has arrived."""
        for path in (self._path, self._notes):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def discard_if_empty(self) -> None:
        """Remove the file if nothing has arrived, as after a refusal. Raises nothing."""
        if self._descriptor >= 0 and not self.size:
            with contextlib.suppress(OSError):
                self.discard()

    def close(self) -> None:
        """Close the file; what has arrived stays. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
